"""What a service is told when it starts: which database, which limits, whether it is a development machine. Every setting there is.

    JIEGUAN_WORKERS=4                       in the environment,
    workers = 4                             or in the TOML file that JIEGUAN_SETTINGS names; the environment comes first
    /run/credentials/.../jieguan_master_key a file of systemd's credentials ($CREDENTIALS_DIRECTORY), for what is secret

An option of the command line comes before all of them. A value that cannot be is refused by its name, with the way out, and nothing starts.
"""

from __future__ import annotations

import difflib
import hashlib
import os
import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields, replace
from pathlib import Path
from types import NoneType
from typing import Any, get_args, get_type_hints

from geodata.child import FENCE
from geodata.db.engine import parse_url
from routing.errors import JieguanError, Lang

PREFIX = "JIEGUAN_"
DATABASE, DEVELOPMENT, WORKERS = "JIEGUAN_DATABASE", "JIEGUAN_DEVELOPMENT", "JIEGUAN_WORKERS"
MASTER, NEW_MASTER = "JIEGUAN_MASTER_KEY", "JIEGUAN_NEW_MASTER_KEY"
FILE, CREDENTIALS = "JIEGUAN_SETTINGS", "CREDENTIALS_DIRECTORY"
CHINA = "Asia/Shanghai"
NO_SETTINGS = frozenset({FILE, NEW_MASTER, "JIEGUAN_PYTHON"})
"""Names of the environment that are for one command, or for finding the settings."""


class BadSetting(JieguanError):
    """`where`: the name of the environment, or the file."""

    zh = "设置 {name}(来自 {where})的值 {value} 不可用:{why}。{out}"
    en = "The setting {name} (from {where}) cannot be {value}: {why}. {out}"


class UnknownSetting(JieguanError):
    zh = "{where} 里的“{name}”不是任何设置。您是不是要写 {near}?全部设置:jieguan settings。"
    en = "{name!r} in {where} is no setting. Did you mean {near}? All there are: jieguan settings."


class SettingsUnreadable(JieguanError):
    zh = "设置文件 {path}({name})无法读取:{reason}。请改正,或取消 {name}。"
    en = "The file of settings {path} ({name}) cannot be read: {reason}. Mend it, or unset {name}."


@dataclass(frozen=True, slots=True)
class Note:
    """What there is to say of a setting. `name`: if it is not the field's; `least`, `most`: its bounds; `zone`: it is a time zone;
    `among`: it is one of these."""

    zh: str
    en: str
    name: str | None = None
    least: float | None = None
    most: float | None = None
    secret: bool = False
    zone: bool = False
    among: tuple[str, ...] = ()


def _of(default: Any, zh: str, en: str, **more: Any) -> Any:
    """A field that can be set."""
    note = Note(zh, en, **more)
    return field(default=default, repr=not note.secret, metadata={"note": note})


@dataclass(frozen=True, slots=True)
class Provider:
    """An identity provider, and the claims that say role and squad. `back`: where it sends browsers to, if not the address they ask."""

    issuer: str = _of(None, "身份提供方(OpenID Connect)的地址", "an identity provider (OpenID Connect), by its address", name="oidc_issuer")
    client: str = _of("jieguan", "我们在它那里的客户端名", "as which client it knows us", name="oidc_client_id")
    secret: str | None = _of(None, "客户端密码", "the client's secret", name="oidc_client_secret", secret=True)
    role: str = _of("role", "说明岗位的声明", "the claim that says the role", name="oidc_role_claim")
    squad: str = _of("squad", "说明中队的声明", "the claim that says the squad", name="oidc_squad_claim")
    back: str | None = _of(
        None, "它把浏览器送回何处;不写则为被访问的地址", "where it sends browsers back to, if not the address they ask",
        name="oidc_redirect",
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class GeoReport:
    """What Open311 clients are told of us. `contact`, `keys`: in words."""

    jurisdiction: str | None = _of(
        None, "Open311 唯一的 jurisdiction_id;不写则不论写什么都收", "the one jurisdiction_id of Open311; without it any will do",
        name="open311_jurisdiction",
    )  # fmt: skip
    contact: str = _of(
        "运行本服务的城市管理局 / the city-management bureau that runs this service", "Open311 里说的联系方式",
        "whom to turn to, as Open311 clients are told", name="open311_contact",
    )  # fmt: skip
    keys: str = _of(
        "api_key 由该局发放(jieguan token new --role machine) / the bureau gives out api_keys", "Open311 里说的取得 api_key 的办法",
        "how to get an api_key, as Open311 clients are told", name="open311_keys",
    )  # fmt: skip
    test: bool = _of(
        False, "试用:所报无人处理", "what is reported by Open311 is acted upon by nobody", name="open311_test"
    )


MIB = 2**20
NESTED = {"provider": Provider, "georeport": GeoReport}
"""Fields that are several settings each."""


@dataclass(frozen=True, slots=True)
class Serving:
    """All that can be set, as it is used. A field without a note is set by the program alone."""

    database: str = _of("jieguan.db", "数据库:文件或 postgresql://…", "the database: a file, or postgresql://...")
    development: bool = _of(
        False, "开发模式:本机任何人报名即可读写;只在环回地址", "anybody on this machine may write under the name he gives; only on loopback"
    )
    workers: int = _of(
        1, "工作进程数;多于一个时没有作业和历史案件", "how many processes answer; with several there are no jobs and no past cases",
        least=1, most=64,
    )  # fmt: skip
    host: str = _of("127.0.0.1", "监听的地址", "the address to listen on")
    port: int = _of(8000, "端口;0 为任一空闲端口", "the port; 0 is any that is free", least=0, most=65_535)
    log_level: str = _of("info", "日志从哪一级起", "lines of the log from this level on", among=("debug", "info", "warning", "error"))
    metrics_token: str | None = _of(
        None, "读取 /metrics 的令牌;不写则只限本机", "the bearer token that reads /metrics; without one, this machine alone", secret=True
    )
    drain_seconds: float = _of(
        2.0, "停止前先报“未就绪”的秒数", "how long a service that stops says so before it takes no more", least=0.0, most=3.0
    )
    proxies: str | None = _of(
        None, "本局自己的代理的地址,逗号分隔;只信它们所说的来源",
        "addresses of our own proxies, with commas: their word on where a request came from is believed, and nobody else's",
    )  # fmt: skip
    zone: str = _of(CHINA, "一天从何处的零点算起", "where a day begins: for the numbers of cases", zone=True)
    body_bytes: int = _of(32 * MIB, "请求正文的上限,字节", "a request's body, at most", least=1_024)
    body_seconds: float = _of(15.0, "等正文到齐的秒数", "a body that is not all here by then is not waited for", least=0.1)
    wait_seconds: float = _of(
        2.0, "等数据库中的锁或写入机会的秒数;过后请对方稍后再来",
        "for what others hold in the database (a lock, the turn to write) and for a silent server; then one is told to come again",
        least=0.1,
    )  # fmt: skip
    upload_bytes: int = _of(FENCE.upload, "上传的图层的上限", "a layer that is uploaded into a draft, at most", least=1_024)
    history_bytes: int = _of(256 * MIB, "历史案件文件的上限", "a file of past cases, at most", least=1_024)
    history_rows: int = _of(10_000_000, "历史案件的行数上限", "rows of past cases, at most", least=1)
    attachment_bytes: int = _of(20 * MIB, "案件附件的上限", "a photo, a paper, a short film of a case, at most", least=1_024)
    batch_bytes: int = _of(20 * MIB, "投诉表格的上限", "a table of complaints, at most", least=1_024)
    file_seconds: float = _of(300.0, "等文件到齐的秒数", "a file that is not all here by then is not waited for", least=0.1)
    files_at_once: int = _of(
        4, "同时接收和读取的文件数;每个读取进程占 512 MiB 地址空间",
        "files received and read at once; each takes up to its limit on disk, and its reader 512 MiB of address space", least=1,
    )  # fmt: skip
    histories: str | None = _of(
        None, "存放历史案件的文件夹;不写则在临时文件夹,进程结束即无", "the folder of past cases; without one they go when the process ends"
    )
    keep_histories: int = _of(20, "最多存几份历史案件", "so many histories are kept", least=1)
    queue: int = _of(8, "可排队的作业数", "jobs that may wait; who comes then is told to come again", least=1)
    keep_jobs: int = _of(20, "保留几个已完成的作业及其结果", "jobs that ended and are kept with their results", least=1)
    keep_warm: int = _of(
        2, "按现行地图派过单而留在内存的历史案件份数", "histories kept decided under the map in force, 100 bytes a case", least=0
    )
    threads: int = _of(
        16, "同时处理的请求数", "requests worked on at once; more would only share the same cores, each with a PROJ of its own", least=1
    )
    secure: bool = _of(
        False, "Cookie 只走 https(前面有代理说 https 时)", "cookies go over https alone: a proxy speaks it", name="secure_cookies"
    )
    provider: Provider | None = None
    """Who else knows our people."""
    georeport: GeoReport = GeoReport()
    keep_maps: int = _of(4, "留在内存的地图版本数", "versions of the map kept in memory", least=1)
    keep_layers: int = _of(64, "留在内存的图层数", "layers kept in memory", least=1)
    private: str | None = _of(
        None, "私密目录(密钥和记录的锚);不写则为该数据库的目录", "the folder of the keys and the record's anchor; else that of the database"
    )
    master: str | None = _of(
        None, "主密钥,32 字节,base64 或十六进制;不写则为私密目录里的 master.key",
        "the master key, 32 bytes as base64 or hexadecimal digits; else master.key in the private folder", name="master_key", secret=True,
    )  # fmt: skip

    @property
    def folder(self) -> Path:
        """The private folder. Raises UnknownDatabase."""
        return private_folder(self.database) if self.private is None else Path(self.private)


# ---- the list of them ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Setting:
    """One that can be set: its `name` in a file, the field it is of, and of which class."""

    name: str
    field: str
    inside: str | None
    type: Any
    default: Any
    note: Note

    @property
    def env(self) -> str:
        """In the environment."""
        return PREFIX + self.name.upper()

    def text(self, lang: Lang) -> str:
        """What it is."""
        return self.note.zh if lang == "zh-CN" else self.note.en


def _settings() -> tuple[Setting, ...]:
    found: list[Setting] = []
    for inside, cls in ((None, Serving), *NESTED.items()):
        types = get_type_hints(cls)
        for each in fields(cls):
            note: Note | None = each.metadata.get("note")
            if note is not None:
                default = None if each.default is MISSING else each.default
                found.append(Setting(note.name or each.name, each.name, inside, types[each.name], default, note))
    return tuple(found)


SETTINGS: tuple[Setting, ...] = _settings()


# ---- reading them ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Given:
    """What was said, by the settings' names, and where. `where` has no default's."""

    serving: Serving
    where: Mapping[str, str]


def given(environment: Mapping[str, str] = os.environ) -> Given:
    """All settings, and where each that was said was said. Raises BadSetting, UnknownSetting, SettingsUnreadable."""
    from pydantic import Field, ValidationError, create_model  # noqa: PLC0415  (where a setting is read, not where one is told of)
    from pydantic_settings import (  # noqa: PLC0415
        BaseSettings,
        EnvSettingsSource,
        InitSettingsSource,
        SecretsSettingsSource,
        SettingsConfigDict,
    )

    told, folder = _of_file(environment), environment.get(CREDENTIALS)
    _known(environment, told)
    sources: list[tuple[str, Any]] = []

    class Read(BaseSettings):
        model_config = SettingsConfigDict(
            env_prefix=PREFIX, extra="ignore", env_parse_enums=False, hide_input_in_errors=True
        )

        @classmethod
        def settings_customise_sources(cls, settings_cls: type[BaseSettings], **_: Any) -> tuple[Any, ...]:  # type: ignore[override]
            env = EnvSettingsSource(settings_cls)
            env.env_vars = {name.lower(): value for name, value in environment.items() if value}  # empty: not said
            sources.append(("", env))
            if folder is not None and Path(folder).is_dir():
                sources.append((folder, SecretsSettingsSource(settings_cls, secrets_dir=folder)))
            sources.append((environment.get(FILE, ""), InitSettingsSource(settings_cls, init_kwargs=told)))
            return tuple(source for _, source in sources)

    columns: dict[str, Any] = {
        s.name: (s.type | None if s.default is None else s.type, Field(s.default, ge=s.note.least, le=s.note.most, strict=None))
        for s in SETTINGS
    }
    model = create_model("Read", __base__=Read, **columns)
    try:
        read = model()
    except ValidationError as error:
        first = error.errors(include_input=True, include_url=False)[0]
        name = str(first["loc"][0])
        setting = next(s for s in SETTINGS if s.name == name)
        raise _bad(setting, _where(sources, setting), _said(sources, name)) from error
    values = {s.name: getattr(read, s.name) for s in SETTINGS}
    where = {s.name: _where(sources, s) for s in SETTINGS if _said(sources, s.name) is not None}
    for setting in SETTINGS:
        among = _zones() if setting.note.zone else setting.note.among
        if among and values[setting.name] not in among:
            raise _bad(setting, where.get(setting.name, setting.env), values[setting.name])
    return Given(_serving(values), where)


def _serving(values: Mapping[str, Any]) -> Serving:
    flat = {s.field: values[s.name] for s in SETTINGS if s.inside is None}
    for name, cls in NESTED.items():
        inner = {s.field: values[s.name] for s in SETTINGS if s.inside == name}
        flat[name] = None if cls is Provider and inner["issuer"] is None else cls(**inner)
    return Serving(**flat)


def _of_file(environment: Mapping[str, str]) -> dict[str, Any]:
    """What the file says that the environment names; nothing without one. Raises SettingsUnreadable."""
    path = environment.get(FILE)
    if not path:
        return {}
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsUnreadable(path=path, name=FILE, reason=str(error)) from error


def _known(environment: Mapping[str, str], told: Mapping[str, Any]) -> None:
    """A name in the file that is none, and one in the environment that looks like one of ours, mistyped. Raises UnknownSetting.

    Others may have names of their own there: a Kubernetes service called jieguan brings JIEGUAN_SERVICE_HOST.
    """
    names = [s.name for s in SETTINGS]
    for name in told:
        if name not in names:
            raise UnknownSetting(name=name, where=environment[FILE], near=_near(name, names, 0.0))
    envs = {s.env for s in SETTINGS} | NO_SETTINGS
    for name in environment:
        if name.startswith(PREFIX) and name not in envs and (near := _near(name, envs, 0.9)):
            raise UnknownSetting(name=name, where="environment", near=near)


def _near(name: str, names: Any, cutoff: float) -> str:
    return next(iter(difflib.get_close_matches(name, sorted(names), 1, cutoff)), "")


def _said(sources: list[tuple[str, Any]], name: str) -> Any:
    return next((value for _, source in sources if (value := source().get(name)) is not None), None)


def _where(sources: list[tuple[str, Any]], setting: Setting) -> str:
    return next((place or setting.env for place, source in sources if source().get(setting.name) is not None), setting.env)


def _bad(setting: Setting, where: str, value: Any) -> BadSetting:
    from api.words_settings import OUT, why  # noqa: PLC0415

    shown = "***" if setting.note.secret else repr(value)[:80]
    return BadSetting(name=setting.name, where=where, value=shown, why=why(setting), out=OUT)


def kind_of(setting: Setting) -> type:
    """What its value is: a bool, an int, a float or a str."""
    inner = [each for each in get_args(setting.type) if each is not NoneType]
    found: type = inner[0] if inner else setting.type
    return found


def _zones() -> set[str]:
    from zoneinfo import available_timezones  # noqa: PLC0415

    return available_timezones()


def of_environment(environment: Mapping[str, str] = os.environ) -> Serving:
    """What the environment, the credentials and the file say. Raises as `given`."""
    return given(environment).serving


def serving_of(database: str | None, environment: Mapping[str, str] = os.environ) -> Serving:
    """The environment's, for the database somebody named, if he did."""
    serving = of_environment(environment)
    return serving if database is None else replace(serving, database=database)


def private_folder(database: str, environment: Mapping[str, str] = os.environ) -> Path:
    """Where the keys of a database lie unless JIEGUAN_PRIVATE says so: beside its file; for a server's under this user's state."""
    url = parse_url(database)
    if url.drivername == "gpkg":
        return Path(f"{url.database}.private")
    state = environment.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    name = hashlib.sha256(url.set(password=None).render_as_string().encode()).hexdigest()[:16]
    return Path(state) / "jieguan" / name


def development(environment: Mapping[str, str] = os.environ) -> bool:
    """Is it a development machine?"""
    return of_environment(environment).development
