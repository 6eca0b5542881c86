"""What `jieguan map` and `jieguan serve` say, in Chinese first and in English. A test compares keys and placeholders."""

from __future__ import annotations

WORDS: dict[str, tuple[str, str]] = {
    # serve
    "serve": (
        "启动服务:地图、草案、派单与 OGC API - Features。收到 SIGTERM 或 Ctrl-C 时办完手头的请求再停。",
        "Start the service: the map, drafts, routing, OGC API - Features. SIGTERM and Ctrl-C stop it when requests at hand are answered.",
    ),
    "serve_db": (
        "数据库:文件 city.db(或 gpkg:///city.db),或 postgresql://用户@主机/库名",
        "the database: a file city.db (or gpkg:///city.db), or postgresql://user@host/name",
    ),
    "serve_host": ("监听的地址", "the address to listen on"),
    "serve_port": ("端口;0 为任一空闲端口", "the port; 0 is any that is free"),
    "serve_workers": ("工作进程数", "how many processes answer"),
    "serve_development": (
        "开发模式:本机上的任何人都可写入,凭请求头自报姓名;只能监听本机",
        "development mode: anybody on this machine may write, under the name a header gives; listens on this machine only",
    ),
    "serving": (
        "服务已就绪:{address}(数据库 {database},{workers} 个进程)",
        "ready: {address} (database {database}, {workers} process(es))",
    ),
    "serving_development": (
        "服务已就绪:{address}(数据库 {database},{workers} 个进程,开发模式:本机可写)",
        "ready: {address} (database {database}, {workers} process(es), development: this machine may write)",
    ),
    "serving_embedded": (
        "嵌入式数据库一次只有一个写入者:{workers} 个进程能同时答复更多查询,写入不会更快。写入繁忙时请改用 PostgreSQL。",
        "An embedded database has one writer at a time: {workers} processes answer more questions at once, and write no faster. Where "
        "much is written, use PostgreSQL.",
    ),
    # the map store
    "map_store": (
        "地图库:导入、导出、版本、草案、发布、恢复",
        "the map store: layers in and out, versions, drafts, publication, rolling back",
    ),
    "map_db": (
        "地图数据库:文件 city.db,或 postgresql://用户@主机/库名",
        "the map store's database: a file city.db, or postgresql://user@host/name",
    ),
    "map_import": (
        "把图层文件与现有地图对照:缺省只说明会改什么、检查发现了什么;--publish 直接发布,--draft 存为草案待签字。",
        "Compare layer files with the map there is: what would change and what the checks find, no more; --publish puts it in force, "
        "--draft makes a draft of it, to be signed.",
    ),
    "map_dry_run": ("只试算,不写入(缺省)", "only tell, write nothing (the default)"),
    "map_publish_now": (
        "直接发布:首份地图,或由上级凭文件裁定(--superior、--document)",
        "put it in force outright: a first map, or as a superior decides with a document (--superior, --document)",
    ),
    "map_as_draft": ("存为此名称的草案", "make a draft of this name"),
    "map_by": ("操作人姓名", "who does it, by name"),
    "map_reason": ("理由", "why"),
    "map_from": ("生效时刻(缺省:现在)", "in force from then (default: now)"),
    "map_superior": ("裁定的上级姓名", "the superior who decides, by name"),
    "map_document": ("依据的文件(文号)", "the document it rests on"),
    "map_defects_to": (
        "检查出的错误由谁负责:登入缺陷台账后照常发布",
        "who sees to the errors found: they are published as entries of the ledger of defects",
    ),
    "map_source": ("数据来源(缺省:文件名与校验)", "where the data is from (default: the file's name and seal)"),
    "map_licence": ("数据许可", "its licence"),
    "map_export": (
        "导出图层:.gpkg(带 QGIS 样式)、.zip(Shapefile)、.geojson。",
        "Write layers: .gpkg (styled for QGIS), .zip of Shapefiles, .geojson.",
    ),
    "map_out": ("输出文件 .gpkg .zip .geojson", "the output, .gpkg .zip .geojson"),
    "map_version_named": (
        "版本:哈希、地图编号,或其开头至少 6 位(缺省:现行版本)",
        "a version: its hash or its map's name, or the first 6 letters or more (default: the one in force)",
    ),
    "map_version_back": ("要恢复的版本:哈希或其开头", "the version to return to: its hash or the beginning of it"),
    "map_draft": ("草案编号", "the id of a draft"),
    "map_crs": ("坐标系 EPSG:n", "coordinate system, EPSG:n"),
    "map_layer": ("只要此图层,如 township", "this layer only, such as township"),
    "map_versions": ("列出全部版本及其生效期。", "List all versions and when they are in force."),
    "map_drafts": ("列出全部草案。", "List all drafts."),
    "map_upload": (
        "把改过的图层文件并入草案:逐项说明采纳或拒绝;--apply 才写入。",
        "A changed file as edits of a draft: each accepted or refused, with the reason; written only with --apply.",
    ),
    "map_upload_file": ("图层文件:.gpkg .zip .geojson .parquet .csv", "the file: .gpkg .zip .geojson .parquet .csv"),
    "map_upload_layer": ("文件没有说明时:它是哪个图层,如 township", "which layer it is, such as township, where the file does not say"),
    "map_upload_datum": ("坐标基准:wgs84、cgcs2000、gcj02、bd09", "datum: wgs84, cgcs2000, gcj02, bd09"),
    "map_apply": ("把采纳的各项写入草案", "write what is accepted to the draft"),
    "map_sign": (
        "对草案的现状签字:各方负责人各签一方,或上级凭文件签全部。",
        "Sign what a draft now is: leaders for their sides, or a superior, with a document, for all.",
    ),
    "map_side": ("签字代表的一方(可重复;缺省:尚缺的各方)", "the side signed for (may be repeated; default: all that must sign)"),
    "map_is_superior": ("以上级身份裁定,代替各方签字", "decide as a superior, in place of the sides"),
    "map_publish": ("发布草案:检查、签字齐备后自某时起生效。", "Put a draft in force, once nothing is open and all have signed."),
    "map_rollback": ("恢复先前的版本:重新发布其内容。", "Return to an earlier version: its content is published again."),
    "map_compiled": (
        "写出某版本已编制的地图文件,供 jieguan route --map 使用。",
        "Write the compiled map of a version, for jieguan route --map.",
    ),
    "map_compiled_out": ("输出的地图文件", "the map file to write"),
    # results
    "map_dry": (
        "以上只是试算,未写入。发布请加 --publish --by 姓名 --reason 理由;存为草案请加 --draft 名称 --by 姓名。",
        "Nothing was written. To put it in force: --publish --by NAME --reason WHY; for a draft: --draft NAME --by NAME.",
    ),
    "map_published": (
        "已发布:第 {id} 次,版本 {version},自 {since} 起生效。",
        "Published: number {id}, version {version}, in force from {since}.",
    ),
    "map_drafted": ("已存为草案 {draft}。", "It is now the draft {draft}."),
    "map_not_applied": ("以上只是试算,草案未动。写入请加 --apply。", "The draft is as it was. To write this to it, add --apply."),
    "map_signed": ("{by} 已代表 {sides} 签字(第 {revision} 版)。", "{by} has signed for {sides} (revision {revision})."),
    "map_ready": ("签字齐备,可以发布。", "It can be published now."),
    "map_compiled_done": (
        "版本 {version} 的地图 {map} 已写到 {out}({bytes} 字节)。",
        "The map {map} of version {version} is in {out} ({bytes} bytes).",
    ),
    # draft and defects
    "draft": ("草案:查问题,具名接受警告。", "A draft: what its checks find, and warnings accepted by name."),
    "draft_check": (
        "列出草案的问题及其状态;有阻碍发布的则退出码为 1。",
        "List what the checks find in a draft; exit status 1 where something stands in the way of publishing.",
    ),
    "draft_accept": (
        "具名接受一项警告并说明理由(错误不能接受:须改正,或登入缺陷台账)。",
        "Accept a warning under a name, with the reason. (Errors cannot be accepted: mend them, or enter them in the ledger.)",
    ),
    "draft_blocked": ("有 {count} 项阻碍发布。", "{count} of them stand in the way of publishing."),
    "draft_clear": ("没有阻碍发布的问题。", "Nothing stands in the way of publishing."),
    "draft_accepted": ("{by} 已接受 {finding}。", "{by} has accepted {finding}."),
    "severity_error": ("错误", "error"),
    "severity_warning": ("警告", "warning"),
    "severity_note": ("提示", "note"),
    "finding_accepted": ("{by} 已接受:{reason}", "accepted by {by}: {reason}"),
    "finding_blocking": ("阻碍发布", "blocks publishing"),
    "finding_in_ledger": ("已入台账", "in the ledger"),
    "finding_stays": ("不阻碍", "does not block"),
    "defects": (
        "缺陷台账:未解决的问题,由谁暂管、谁处理、何时到期。", "The ledger of defects: what stays open, who keeps it meanwhile, until when."
    ),
    "defects_list": ("列出缺陷,压着案件最多的在前。", "List the defects, those with most past cases on their ground first."),
    "defects_cases": (
        "历史案件文件,按落在各缺陷上的件数排序;db 为本库的案件;不给则按面积",
        "a file of past cases that gives each defect its weight; db: the cases of the database; without it by area",
    ),
    "defects_closed": ("也列出已结案的", "also those that are closed"),
    "defects_assign": (
        "登记一项缺陷,或改派:由谁暂管(--squad)、谁处理(--owner)、何时到期(--due);没有给的保持原样。",
        "Enter a defect, or assign it anew: who keeps the ground (--squad), who sees to it (--owner), until when (--due). The rest stays.",
    ),
    "defects_draft": ("问题出自哪份草案(缺省:现行地图)", "the draft whose finding it is (default: the map in force)"),
    "defects_assigned": (
        "{finding}:{squad} 暂管,{owner} 处理,{due} 到期。", "{finding}: {squad} keeps the ground, {owner} sees to it, due {due}."
    ),
    "defects_close": ("结案:现行地图中已不存在的缺陷。", "Close a defect that the map in force no longer has."),
    "defects_closed_now": ("{by} 已将 {finding} 结案。", "{by} has closed {finding}."),
    "defect_key": ("问题编号,见 draft check 或 defects list", "the finding's id, as `draft check` or `defects list` tells it"),
    "defect_squad": ("暂管该地的中队", "the squad that keeps the ground meanwhile"),
    "defect_owner": ("处理人", "who sees to it"),
    "defect_due": ("到期时间,例如 2026-12-31", "when it is due, such as 2026-12-31"),
    "defect_over": ("{at} 已结案", "closed on {at}"),
    "defect_stands": ("仍在", "still there"),
    "defect_mended": ("现行地图中已无,可结案", "gone from the map in force: can be closed"),
    "map_t_finding": ("问题", "finding"),
    "map_t_severity": ("轻重", "severity"),
    "map_t_text": ("说明", "what"),
    "map_t_load": ("案件数", "cases"),
    "map_t_area": ("面积(平方米)", "m2"),
    "map_t_squad": ("暂管", "keeps it"),
    "map_t_owner": ("处理人", "owner"),
    "map_t_due": ("到期", "due"),
    "map_none": ("没有。", "There are none."),
    "map_t_version": ("版本", "version"),
    "map_t_map": ("地图", "map"),
    "map_t_held": ("生效期", "in force"),
    "map_t_by": ("登记人", "by"),
    "map_t_reason": ("理由", "reason"),
    "map_t_draft": ("草案", "draft"),
    "map_t_name": ("名称", "name"),
    "map_t_author": ("绘制人", "author"),
    "map_t_state": ("状态", "state"),
    "map_t_revision": ("改动数", "revision"),
    "map_t_base": ("基于版本", "on version"),
    "map_withdrawn": ("未生效即被取代", "replaced before it took effect"),
    "map_open": ("至今", "now"),
    "map_state_open": ("编制中", "open"),
    "map_state_published": ("已发布", "published"),
    "map_state_abandoned": ("已放弃", "abandoned"),
}
