"""One connection to NATS that never gives up, and says so when it is down.

Owns the nats-py client: connecting, its callbacks, the watchdog, closing. Knows nothing of
hints, queries or events.

What nats-py does by itself, and what is done about it here:

* It stops reconnecting after 60 attempts, and some errors close it for good. Attempts are
  unlimited; a close that nobody asked for ends the bus, and with it the service, which its
  supervisor starts again.
* A server that takes bytes but never answers is noticed late, and closing such a connection can
  take a quarter of an hour. The watchdog asks for an echo and aborts the transport.
* `rtt()` and `flush()` leave a cancelled future behind when they time out, and the pong that
  comes later ends the reading task. The echo is a message to our own inbox instead; it can also
  be cancelled safely.
* Its `drain()` waits long for idle subscriptions. `close` makes sure by an echo that all was
  sent, then closes.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress

import nats.errors
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from stratuslab.core.bus.background import background
from stratuslab.core.bus.credentials import Credentials
from stratuslab.core.bus.metrics import CONNECTED, CONNECTIONS, ERRORS
from stratuslab.core.bus.server_config import inbox_prefix
from stratuslab.core.errors import ConfigurationError, StratusLabError, Unavailable

log = structlog.get_logger(__name__)

PING_SECONDS = 5
RECONNECT_SECONDS = (0.2, 0.8)
"""Between two attempts; each process draws its own, so that not all come at once."""
CONNECT_TIMEOUT_SECONDS = 2
WATCHDOG_SECONDS = 5.0
ECHO_TIMEOUT_SECONDS = 3.0
CLOSE_TIMEOUT_SECONDS = 3.0
REFUSALS_BEFORE_GIVING_UP = 3
"""Wrong credentials do not mend themselves; a few attempts cover a server that reloads."""


class Connection:
    """`run` keeps it alive inside the bus's task group; everything else waits for `ready`."""

    def __init__(
        self, urls: Sequence[str], *, name: str, credentials: Callable[[], Credentials] | None
    ) -> None:
        self.client = Client()
        self.reconnected: set[Callable[[], None]] = set()
        """Called after each reconnection: requests made before it will not be answered."""
        self._urls = list(urls)
        self._name = name
        self._credentials = credentials
        self._current = credentials() if credentials else None
        self._inbox = inbox_prefix(self._current.user) if self._current else "_INBOX"
        self._echo_subject = ""
        self._ready = asyncio.Event()
        self._lost = asyncio.Event()
        self._loss: StratusLabError | None = None
        self._refusals = 0
        self._was_up = False
        self._told_down = False
        self._closing = False

    @property
    def connected(self) -> bool:
        """Whether messages flow at present."""
        return self._ready.is_set() and self.client.is_connected

    async def ready(self, timeout: float | None = None) -> None:
        """Returns once connected. Raises Unavailable after `timeout` seconds."""
        if self._ready.is_set():
            return
        try:
            async with asyncio.timeout(timeout):
                await self._ready.wait()
        except TimeoutError:
            raise Unavailable(
                "The message bus cannot be reached.", hint="It is tried again all the time."
            ) from None

    async def echo(self, timeout: float | None = None) -> None:
        """Returns once the server has processed all that was sent before. Raises Unavailable."""
        timeout = timeout or ECHO_TIMEOUT_SECONDS
        try:
            await self.client.request(self._echo_subject, timeout=timeout)
        except (nats.errors.Error, TimeoutError, OSError) as error:
            raise Unavailable(f"The message bus did not answer within {timeout:g} s.") from error

    @asynccontextmanager
    async def subscribed(
        self, subject: str, receive: Callable[[Msg], Awaitable[None]], *, queue: str = ""
    ) -> AsyncIterator[None]:
        """Subscribes, at once when connected, else as soon as it is, while the context is open.

        `receive` must only enqueue: one subscription's messages are handed over one by one.
        """
        async with background() as beside:
            subscribing = beside.start(self._subscribe(subject, receive, queue))
            if self.connected:
                await asyncio.wait((subscribing,), timeout=ECHO_TIMEOUT_SECONDS)
            try:
                yield
            finally:
                if subscribing.done() and not subscribing.cancelled():
                    with suppress(nats.errors.Error, Unavailable):
                        await subscribing.result().unsubscribe()
                        if self.connected:
                            await self.echo(1.0)  # from here on the server sends no more

    async def _subscribe(
        self, subject: str, receive: Callable[[Msg], Awaitable[None]], queue: str
    ) -> Subscription:
        await self.ready()
        subscription = await self.client.subscribe(subject, queue, receive)
        with suppress(Unavailable):
            await self.echo()  # from here on the server knows of it
        return subscription

    async def run(self) -> None:
        """Connects and watches until cancelled. Raises when the connection is lost for good."""
        async with background() as beside:
            beside.start(self._raise_loss())
            await self._connect()
            await self._watch()

    async def flush(self) -> None:
        """Makes sure that the server has what was sent, as far as it answers."""
        self._closing = True
        if self.connected:
            with suppress(Unavailable):
                await self.echo(CLOSE_TIMEOUT_SECONDS / 3)

    async def close(self) -> None:
        """Closes; `run` has ended before. With `flush` it takes CLOSE_TIMEOUT_SECONDS at most."""
        self._closing = True
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_SECONDS / 3):
                await self.client.close()
        except TimeoutError:
            log.warning("bus.close_timed_out")
        _abort(self.client)
        self._ready.clear()
        CONNECTED.set(0)

    async def _raise_loss(self) -> None:
        await self._lost.wait()
        assert self._loss is not None
        raise self._loss

    def _lose(self, loss: StratusLabError) -> None:
        self._loss = self._loss or loss
        self._lost.set()

    # -- connecting

    async def _connect(self) -> None:
        """Tries for ever; nats-py reports each failed attempt to `_on_error`."""
        await self.client.connect(
            self._urls,
            name=self._name,
            user=self._user if self._credentials else None,
            password=self._password if self._credentials else None,
            inbox_prefix=self._inbox,
            error_cb=self._on_error,
            disconnected_cb=self._on_disconnected,
            reconnected_cb=self._on_reconnected,
            closed_cb=self._on_closed,
            max_reconnect_attempts=-1,
            reconnect_time_wait=random.uniform(*RECONNECT_SECONDS),  # type: ignore[arg-type]  # noqa: S311
            connect_timeout=CONNECT_TIMEOUT_SECONDS,
            ping_interval=PING_SECONDS,
            max_outstanding_pings=2,
            drain_timeout=int(CLOSE_TIMEOUT_SECONDS),
        )
        self._echo_subject = self.client.new_inbox()
        await self.client.subscribe(self._echo_subject, cb=self._send_echo)
        self._up()

    def _user(self) -> str:
        return self._fresh().user

    def _password(self) -> str:
        return self._fresh().password

    def _fresh(self) -> Credentials:
        """The credentials as they are now, so that a rotated password needs no restart."""
        assert self._credentials is not None
        assert self._current is not None
        try:
            self._current = self._credentials()
        except ConfigurationError as error:
            # Raised here, it would end nats-py's reconnecting without a word.
            log.error("bus.credentials_unreadable", reason=error.message)
        return self._current

    async def _send_echo(self, message: Msg) -> None:
        await self.client.publish(message.reply)

    # -- watching

    async def _watch(self) -> None:
        while not self._closing:
            await asyncio.sleep(WATCHDOG_SECONDS)
            if self.connected:
                try:
                    await self.echo()
                except Unavailable:
                    if self.connected:
                        log.warning("bus.silent", timeout_seconds=ECHO_TIMEOUT_SECONDS)
                        _abort(self.client)
                        await self.client.force_reconnect()
            elif self._ready.is_set():
                # It noticed by itself, but hangs closing the old transport.
                _abort(self.client)
            elif _stopped_reconnecting(self.client):
                self._lose(Unavailable("The bus client stopped reconnecting."))

    def _up(self) -> None:
        log.info("bus.connected", url=_address(self.client), server=_version(self.client))
        CONNECTED.set(1)
        CONNECTIONS.inc()
        self._refusals = 0
        self._was_up = True
        self._told_down = False
        self._ready.set()

    # -- what nats-py tells

    async def _on_error(self, error: Exception) -> None:
        if self.client.is_connecting:
            # The attempt failed; nats-py would leave its socket open.
            _abort(self.client)
        text = str(error).lower()
        if "authorization violation" in text:
            self._refused()
        elif "permissions violation" in text:
            ERRORS.labels("permissions").inc()
            log.error("bus.permission_denied", reason=str(error))
        elif isinstance(error, nats.errors.SlowConsumerError):
            ERRORS.labels("slow-consumer").inc()
            log.warning("bus.slow_consumer", subject=error.subject)
        elif isinstance(error, (OSError, TimeoutError, nats.errors.Error)):
            ERRORS.labels("connection").inc()
            if not self._told_down and not self._ready.is_set():
                self._told_down = True
                log.warning("bus.unreachable", urls=self._urls, reason=_reason(error))
        else:
            ERRORS.labels("bug").inc()
            log.error("bus.callback_failed", exc_info=error)

    def _refused(self) -> None:
        ERRORS.labels("refused").inc()
        self._refusals += 1
        user = self._current.user if self._current else None
        if self._refusals in (1, REFUSALS_BEFORE_GIVING_UP):
            log.error("bus.credentials_refused", urls=self._urls, user=user)
        if self._refusals >= REFUSALS_BEFORE_GIVING_UP and not self._was_up:
            who = f"user {user!r}" if user else "a user without credentials"
            self._lose(
                ConfigurationError(
                    f"The message bus at {', '.join(self._urls)} refuses {who}.",
                    hint="Compare the credentials file with the users that nats-server knows.",
                )
            )

    async def _on_disconnected(self) -> None:
        self._ready.clear()
        CONNECTED.set(0)
        if not self._closing and not self._told_down:
            self._told_down = True
            log.warning("bus.disconnected")

    async def _on_reconnected(self) -> None:
        self._up()
        for notify in tuple(self.reconnected):
            notify()

    async def _on_closed(self) -> None:
        if not self._closing:
            self._lose(
                Unavailable(
                    "The connection to the message bus was closed for good: "
                    f"{_reason(self.client.last_error)}."
                )
            )


def _reason(error: BaseException | None) -> str:
    return str(error) or type(error).__name__


def _address(client: Client) -> str:
    url = client.connected_url
    return f"{url.hostname}:{url.port}" if url else ""


def _version(client: Client) -> str:
    version = client.connected_server_version
    return f"{version.major}.{version.minor}.{version.patch}"


# nats-py offers no public way to these two.


def _abort(client: Client) -> None:
    """Drops the transport without waiting for the other side."""
    writer = getattr(getattr(client, "_transport", None), "_io_writer", None)
    if writer is not None:
        writer.transport.abort()


def _stopped_reconnecting(client: Client) -> bool:
    task = getattr(client, "_reconnection_task", None)
    return client.is_reconnecting and task is not None and task.done()
