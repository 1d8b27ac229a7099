"""How is a provider called where our own lines cannot be used? With aiohttp's client, which is loaded only
then: through a proxy, or without httptools. What goes wrong is told as everywhere."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import aiohttp

from ..phrases import system_reason
from .hindrance import (
    BrokenOff,
    ConnectingTooLong,
    Disconnected,
    Hindrance,
    NoSuchHost,
    NotConnected,
    NotTrusted,
    ProxyRefused,
)

__all__ = ["Client"]


class Client:
    """The connections of one event loop; a new one must stand within ``connect`` seconds."""

    def __init__(self, connect: float) -> None:
        self._connect = connect
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            timeout=aiohttp.ClientTimeout(total=None, connect=connect),
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def post(
        self,
        url: str,
        *,
        data: bytes | io.BytesIO,
        headers: Mapping[str, str],
        allow_redirects: bool,
        proxy: str | None,
    ) -> Answered:
        """Ask, and wait for the head of the answer. Raises `Hindrance` and `OSError`."""
        try:
            with _told():
                return Answered(
                    await self._session.post(
                        url, data=data, headers=headers, allow_redirects=allow_redirects, proxy=proxy
                    )
                )
        except aiohttp.ConnectionTimeoutError as error:
            raise ConnectingTooLong(self._connect) from error

    async def close(self) -> None:
        """Hang up everywhere."""
        await self._session.close()


class Answered:
    """One answer while it arrives."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.status = response.status
        self.content_type = response.content_type
        self.headers = response.headers
        self.close = response.close
        self._body = response.content

    @property
    def content(self) -> Answered:
        """The body: it is read here, too."""
        return self

    def at_eof(self) -> bool:
        """Whether everything was read."""
        return self._body.at_eof()

    async def readany(self) -> bytes:
        """What has come since, at least something; nothing at the end."""
        with _told():
            return await self._body.readany()


@contextmanager
def _told() -> Iterator[None]:
    """What is wrong with a connection, in our words; what the operating system says stays as it is."""
    try:
        yield
    except (aiohttp.ClientConnectorCertificateError, aiohttp.ClientConnectorSSLError) as error:
        raise NotTrusted(error.host, error.port) from error
    except aiohttp.ClientConnectorDNSError as error:
        raise NoSuchHost(error.host, error.port) from error
    except aiohttp.ClientConnectorError as error:
        raise NotConnected(error.host, error.port, system_reason(error.os_error)) from error
    except aiohttp.ClientHttpProxyError as error:
        raise ProxyRefused(error.status) from error
    except aiohttp.ServerDisconnectedError as error:
        raise Disconnected from error
    except aiohttp.ClientPayloadError as error:
        raise BrokenOff from error
    except OSError:
        raise
    except aiohttp.ClientError as error:
        raise Hindrance(str(error) or type(error).__name__) from error
