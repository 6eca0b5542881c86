"""Files as bodies: put aside as they arrive, on disk beyond a megabyte, while no thread waits for them; then handed to the endpoint.

A file is the body itself (application/octet-stream), or the one part of a form (multipart/form-data), as browsers send it. Who may
not write has been told so before (`security.admit`), and only so many files are received at once. `app.Door` keeps size and time.
"""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import IO, Annotated

from fastapi import Depends, Request
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from api.schemas.strict import WrongMedia
from routing.errors import JieguanError

IN_MEMORY = 1 << 20
RAW, FORM = "application/octet-stream", "multipart/form-data"


class NotAFileBody(WrongMedia):
    zh = (
        "请求正文的 Content-Type 是“{value}”,此处收的是文件。请改为 application/octet-stream(curl:-H 'Content-Type: "
        "application/octet-stream' --data-binary @文件),或用 multipart/form-data 的一个文件项(curl:-F file=@文件)。"
    )
    en = (
        "The body's Content-Type is {value!r}, and a file is taken here. Send application/octet-stream (curl: -H 'Content-Type: "
        "application/octet-stream' --data-binary @FILE), or multipart/form-data with one file (curl: -F file=@FILE)."
    )


class NoFile(JieguanError):
    zh = "请求中没有文件,或不止一个文件。请只附一个文件,内容不为空。"
    en = "The request has no file, or more than one. Attach one file that is not empty."


class FilesBusy(JieguanError):
    zh = "正在接收的文件已达 {limit} 个,暂不接收新的;未作任何改动。请稍后重试。"
    en = "{limit} files are being received already, and no more are taken now; nothing was changed. Try again later."


@dataclass(frozen=True, slots=True, eq=False)
class Received:
    """A file that has arrived, from its beginning. `name`: what its form calls it."""

    file: IO[bytes]
    size: int
    name: str | None = None


@asynccontextmanager
async def receiving(request: Request) -> AsyncIterator[None]:
    """The file of a request, as `request.state.file`; gone afterwards. Raises FilesBusy, NotAFileBody, NoFile."""
    app, limit = request.app.state, request.app.state.serving.files_at_once
    if app.receiving >= limit:  # asked and answered on the event loop: no lock
        raise FilesBusy(limit=limit)
    app.receiving += 1
    try:
        upload = await _received(request)
        try:
            await upload.seek(0)
            request.state.file = Received(upload.file, upload.size or 0, upload.filename)
            yield
        finally:
            await upload.close()
    finally:
        app.receiving -= 1


async def _received(request: Request) -> UploadFile:
    content_type = request.headers.get("content-type", "")
    media = content_type.partition(";")[0].strip().lower()
    try:
        if media == FORM:
            form = await request.form(max_files=1, max_fields=0)
            parts = [part for part in form.values() if isinstance(part, UploadFile)]
            if len(parts) != 1 or not parts[0].size:
                await form.close()
                raise NoFile
            return parts[0]
        if media != RAW:
            raise NotAFileBody(value=media[:60] or "-")
        upload = UploadFile(tempfile.SpooledTemporaryFile(IN_MEMORY), size=0)  # type: ignore[arg-type]  # noqa: SIM115 - closed by who asked
        try:
            async for block in request.stream():
                await upload.write(block)
        except BaseException:
            await upload.close()
            raise
    except ClientDisconnect as error:  # nobody is left to be answered
        raise HTTPException(400) from error
    if not upload.size:
        await upload.close()
        raise NoFile
    return upload


async def the_file(request: Request) -> Received:
    """The file of this request."""
    received: Received = request.state.file
    return received


File = Annotated[Received, Depends(the_file)]
