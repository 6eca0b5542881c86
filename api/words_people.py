"""What `jieguan user`, `jieguan token` and `jieguan openapi` say, in Chinese first and in English."""

from __future__ import annotations

WORDS: dict[str, tuple[str, str]] = {
    "user": ("账号:新增、列出、改任、重设口令、停用", "accounts: add, list, give another role, set a password, close"),
    "user_add": ("新增一个账号。", "Add an account."),
    "user_list": ("列出全部账号。", "List all accounts."),
    "user_role": ("改任角色或中队;其登录随即失效。", "Give an account another role or squad; its logins end at once."),
    "user_password": ("重设口令;其登录随即失效。", "Set the password of an account; its logins end at once."),
    "user_close": ("停用账号;其登录随即失效。", "Close an account; its logins end at once."),
    "user_open": ("重新启用账号。", "Open a closed account again."),
    "user_name": ("账号的姓名", "the name of the account"),
    "user_role_option": (
        "角色:operator 受理员、dispatcher 派遣员、squad_leader 中队长、squad_member 队员、planner 规划员、supervisor 督查、"
        "administrator 管理员、machine 机器",
        "the role: operator, dispatcher, squad_leader, squad_member, planner, supervisor, administrator, machine",
    ),
    "user_squad": ("所属中队的编码(中队长和队员必填)", "the code of the squad (leaders and members have one)"),
    "user_password_stdin": (
        "从标准输入读口令;不给则只能由统一身份认证登录",
        "read the password from standard input; without, only the identity provider can let him in",
    ),
    "squad_unchecked": (
        "尚未发布地图,未能核对是否有中队“{squad}”。地图发布后请核对。",
        "No map has been published, so nobody checked that there is a squad {squad!r}. Look again when there is one.",
    ),
    "user_added": ("已新增账号“{name}”({role})。", "Added the account {name!r} ({role})."),
    "user_changed": ("账号“{name}”现为:角色 {role},中队 {squad}。", "The account {name!r} now has role {role}, squad {squad}."),
    "user_password_set": ("已重设“{name}”的口令,其登录已全部失效。", "The password of {name!r} is set, and all its logins have ended."),
    "user_closed": ("账号“{name}”已停用,其登录已全部失效。", "The account {name!r} is closed, and all its logins have ended."),
    "user_opened": ("账号“{name}”已重新启用。", "The account {name!r} is open again."),
    "token": ("令牌:供机器和程序使用", "tokens: for machines and programs"),
    "token_new": ("新建令牌,并只打印令牌本身;它只显示这一次。", "Make a token and print it, and nothing else; it is shown this once."),
    "token_list": ("列出全部令牌(不含密文)。", "List all tokens, without their secrets."),
    "token_end": ("使令牌失效。", "End a token."),
    "token_name": ("令牌的名称,例如使用它的系统", "what the token is called, for example the system that uses it"),
    "token_days": ("有效天数;不给则长期有效", "days until it ends by itself; without, it does not"),
    "token_id": ("令牌编号(见 jieguan token list)", "the id of the token (see jieguan token list)"),
    "token_ended": ("令牌 {id}(“{name}”)已失效。", "The token {id} ({name!r}) has ended."),
    "openapi": ("打印服务的 OpenAPI 描述(JSON)。", "Print the OpenAPI description of the service (JSON)."),
    "t_name": ("姓名", "name"),
    "t_role": ("角色", "role"),
    "t_squad": ("中队", "squad"),
    "t_login": ("登录方式", "login"),
    "t_since": ("建立于", "since"),
    "t_until": ("失效于", "until"),
    "t_closed": ("停用于", "closed"),
    "t_id": ("编号", "id"),
    "login_password": ("口令", "password"),
    "login_provider": ("统一身份认证", "identity provider"),
    "login_none": ("无", "none"),
}  # fmt: skip
