"""Runs one service in a process of its own: settings, loop, logs, signals, drain, exit status.

    async def body(service: Service[AgentSettings]) -> None:
        async with service.open_store() as store, service.open_bus() as bus:
            …
            await service.until_stopped()

    def main() -> None:
        run("vm-agent", AgentSettings, body)

SIGTERM or SIGINT sets `service.stopping`; the body should return, and is cancelled when
`drain_seconds` are over or a second signal comes. What even then does not end, a blocked thread
perhaps, is ended two seconds later with its stacks on stderr. Exit status: 0 stopped as told,
1 failed (logged), 2 wrong settings or something missing on this machine (one clear line).
"""

from __future__ import annotations

import asyncio
import faulthandler
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, NoReturn, TypeVar

import structlog

from stratuslab.core.errors import ConfigurationError, StratusLabError
from stratuslab.core.service.frame import Service
from stratuslab.core.service.logging import configure
from stratuslab.core.settings import CommonSettings, Settings, load_all

log = structlog.get_logger()

S = TypeVar("S", bound=Settings)

Body = Callable[[Service[S]], Coroutine[Any, Any, None]]

UNWIND_SECONDS = 2.0
"""What a cancelled body, its threads and the interpreter may take on top of the drain time."""


def run(name: str, section: type[S], body: Body[S]) -> None:
    """Runs the service until it ends; exits with status 1 or 2 when it fails."""
    try:
        common, own = load_all([CommonSettings, section], environ=os.environ, service=name)
    except ConfigurationError as error:
        _exit_with_line(name, error)
    settings: CommonSettings = common.settings
    configure(settings.log_level, settings.log_format, name)
    try:
        with asyncio.Runner(loop_factory=_loop_factory(settings.loop)) as runner:
            runner.run(_main(Service(name, own.settings, settings), body))
    except (Exception, BaseExceptionGroup) as failure:  # noqa: BLE001 - whatever ends the service
        _fail(name, failure)


async def _main(service: Service[S], body: Body[S]) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _stop, service)
    log.info("service.started", pid=os.getpid())
    async with service:
        await run_body(service, body)
    log.info("service.stopped")


def _stop(service: Service[Any]) -> None:
    if not service.stopping.is_set():
        faulthandler.dump_traceback_later(
            service.common.drain_seconds + UNWIND_SECONDS, exit=True, file=2
        )
        log.info("service.stopping")
    service.stop()


async def run_body(service: Service[S], body: Body[S]) -> None:
    """Runs the body until it returns; after the order to stop no longer than the drain time.

    Raises what the body raises.
    """
    work = asyncio.create_task(body(service), name=service.name)
    stopping = asyncio.create_task(service.stopping.wait())
    hurrying = asyncio.create_task(service.hurrying.wait())
    everything = (work, stopping, hurrying)
    try:
        await asyncio.wait({work, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            await asyncio.wait(
                {work, hurrying},
                timeout=service.common.drain_seconds,
                return_when=asyncio.FIRST_COMPLETED,
            )
        if not work.done():
            log.warning("service.drain_expired", hurried=service.hurrying.is_set())
            work.cancel()
            await asyncio.wait({work})
    finally:
        for task in everything:
            task.cancel()
        await asyncio.wait(everything)
    if not work.cancelled():
        work.result()
    elif not service.stopping.is_set():
        raise RuntimeError("The body of the service was cancelled although nobody stopped it.")


def _loop_factory(loop: str) -> Callable[[], asyncio.AbstractEventLoop] | None:
    if loop == "asyncio":
        return None
    import uvloop

    return uvloop.new_event_loop


def _fail(name: str, failure: BaseException) -> NoReturn:
    causes = list(_causes(failure))
    for cause in causes:
        if isinstance(cause, ConfigurationError):
            _exit_with_line(name, cause)
    for cause in causes:
        if isinstance(cause, StratusLabError):
            log.error("service.failed", code=cause.code, error=str(cause))
        else:
            log.error("service.failed", error=f"{type(cause).__name__}: {cause}", exc_info=cause)
    sys.exit(1)


def _causes(failure: BaseException) -> Iterator[BaseException]:
    if isinstance(failure, BaseExceptionGroup):
        for each in failure.exceptions:
            yield from _causes(each)
    else:
        yield failure


def _exit_with_line(name: str, error: BaseException) -> NoReturn:
    print(f"{name}: {' '.join(str(error).split())}", file=sys.stderr)
    sys.exit(2)
