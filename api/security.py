"""Who is asking. Until there are accounts: nobody may write, but for a development machine, where a header names the person.

Development mode believes what it is told, so it is kept to this machine three times: `serve` refuses to listen anywhere else,
a request from elsewhere is refused, and so is one for another host's name (a page that had its own name resolved to us).
"""

from __future__ import annotations

import ipaddress
from typing import Annotated
from urllib.parse import unquote

from fastapi import Depends, Request

from routing.errors import JieguanError

HEADER = "X-Jieguan-Person"


class Refused(JieguanError):
    """Not this person, not here, not now."""


class WritingClosed(Refused):
    zh = "本服务目前只读:账号与权限尚未启用,写入无人可归。在本机试用请以开发模式启动(jieguan serve --development)。"
    en = (
        "This service only reads: there are no accounts yet, so nobody could be held to what is written. To try it on your own "
        "machine, start it in development mode (jieguan serve --development)."
    )


class PersonMissing(Refused):
    zh = "未指明操作人:每项修改都要记名。请在请求头 {header} 中写明姓名(中文用 UTF-8 或百分号编码)。"
    en = "No person is named, and every change is recorded under a name. State yours in the header {header} (UTF-8 or percent-encoded)."


class NotThisMachine(Refused):
    zh = "开发模式只接受本机请求,而此请求来自或指向 {host}:在此模式下任何人都可冒名。请在本机访问 127.0.0.1。"
    en = (
        "Development mode serves this machine only, and the request is from or for {host}: in this mode anybody may use any name. "
        "Ask for 127.0.0.1 from the machine itself."
    )


class NotLoopback(JieguanError):
    zh = "开发模式不能监听 {host}:在此模式下任何人都可冒名写入。请用 127.0.0.1,或不要加 --development。"
    en = "Development mode does not listen on {host}: in this mode anybody may write under any name. Use 127.0.0.1, or drop --development."


def is_loopback(host: str | None) -> bool:
    """Is it a name or address of this machine alone?"""
    if host is None:
        return False
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def writer(request: Request) -> str:
    """The person who writes. Raises WritingClosed, NotThisMachine, PersonMissing."""
    if not request.app.state.serving.development:
        raise WritingClosed
    for host in (None if request.client is None else request.client.host, request.url.hostname):
        if not is_loopback(host):
            raise NotThisMachine(host=host or "-")
    try:  # headers are bytes: what came as UTF-8 was read as Latin-1
        name = unquote(request.headers.get(HEADER, "").encode("latin-1").decode(), errors="strict").strip()
    except UnicodeDecodeError as error:
        raise PersonMissing(header=HEADER) from error
    if not name.isprintable() or not 0 < len(name) <= 100:
        raise PersonMissing(header=HEADER)
    return name


Writer = Annotated[str, Depends(writer)]
