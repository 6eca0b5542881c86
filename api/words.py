"""Every sentence the command line prints, in Chinese first and in English. A test compares their keys and placeholders."""

from __future__ import annotations

import os
from collections.abc import Sequence

from routing.errors import Lang
from routing.model import Step

STEPS: dict[Step, tuple[str, str, str, str]] = {
    # name, when and who in Chinese; in English
    Step.CASE_ORDER: (
        "个案指定", "上级已就本案指定中队,由该中队负责",
        "order for this case", "a superior has designated a squad for this one case: that squad",
    ),
    Step.DESIGNATED_CATEGORY: (
        "按类别指定", "此地有指定决定,且点名该类别:由被指定的中队负责",
        "designated for the category", "a standing designation covers the place and names the category: the designated squad",
    ),
    Step.DIRECT: (
        "直属中队", "该类别归直属中队或外部单位,不分辖区;外部单位签收前由值班中队持有",
        "direct squad", "the category belongs to a direct squad or an external unit, which have no area; until an external "
        "unit accepts, the duty squad holds the referral",
    ),
    Step.DESIGNATED: (
        "区域指定", "此地有不分类别的指定决定:由被指定的中队负责",
        "designated", "a standing designation for all categories covers the place: the designated squad",
    ),
    Step.NOT_SERVED: (
        "非本局管辖", "此地明确由其他单位管理:值班中队持有并移送",
        "not served", "the place is explicitly somebody else's: the duty squad holds the referral",
    ),
    Step.AGREED: (
        "交界协议", "相邻中队对交界带有协议:按协议主办,另一方协办",
        "agreed", "the neighbours have an agreement for their border zone: as agreed, the other party assists",
    ),
    Step.OWN_GROUND: (
        "本队辖区", "恰有一个辖区覆盖此地,误差与交界带内再无他队:该中队负责",
        "own ground", "exactly one territory covers the place and no other is within the error or the border zone: its squad",
    ),
    Step.BORDER: (
        "交界处", "一个辖区覆盖此地,他队在误差或交界带内:所在辖区主办,其余协办;正压在线上的按公布的次序",
        "border", "one territory covers the place and others are within reach: its squad leads, they assist; exactly on a "
        "line, the published order decides",
    ),
    Step.DISPUTED: (
        "重叠争议", "几个辖区都覆盖此地:先看乡镇(街道)归属,再看误差圆内的占比,再看公布的次序,最后取最小编码",
        "disputed", "several territories cover the place: the one whose township covers it, else the greater share of the "
        "error disc, else the published priority, else the lowest code",
    ),
    Step.NEAREST: (
        "最近中队", "没有辖区覆盖,但在本局范围内:最近的辖区负责",
        "nearest", "no territory covers the place, but it is inside the extent: the nearest territory",
    ),
    Step.ON_DUTY: (
        "值班兜底", "以上都不适用:值班中队负责",
        "on duty", "nothing else applies: the duty squad",
    ),
}  # fmt: skip

COMPASS = (
    ("北", "north"), ("东北", "north-east"), ("东", "east"), ("东南", "south-east"),
    ("南", "south"), ("西南", "south-west"), ("西", "west"), ("西北", "north-west"),
)  # fmt: skip

WORDS: dict[str, tuple[str, str]] = {
    "app": (
        "界管:每条边界都有人管。把投诉派给恰好一个负责中队,附理由、余量和证明。",
        "jieguan: every border has a keeper. Complaints to exactly one responsible squad, with reasons, margin and a proof.",
    ),
    # commands
    "route": ("把一个文件的投诉逐条派给中队。", "Route a file of complaints to squads."),
    "explain": (
        "逐级说明一个地点归谁、为什么、怎样会变。",
        "Explain, step by step, who is responsible for a place, and what would change it.",
    ),
    "check": (
        "检查边界图层:重叠、空隙、自交、重号、基准等。",
        "Check a boundary layer: overlaps, gaps, invalid rings, duplicate ids, datum and more.",
    ),
    "compile": ("把边界文件编制成一份带证明的地图。", "Compile boundary files into one map that carries its proof."),
    "verify": (
        "独立核验一份已编制的地图;给出源文件时一并核对是否忠实。",
        "Verify a compiled map independently; with its sources at hand also that it is faithful to them.",
    ),
    "ladder": ("打印派单规则,逐级,取自代码。", "Print the rules of routing, step by step, from the code."),
    "demo": (
        "生成演示城区(惠济区):写成文件(--out),派单并绘图;或写入本机的数据库(--db),带各岗位账号和一年的合成案件,随后即可 serve。",
        "Build the demo city (Huiji): as files (--out), with its complaints routed and its map drawn; or in a database of this machine "
        "(--db), with an account for each role and a year of synthetic cases, ready to serve.",
    ),
    # map options
    "territories": ("中队辖区图层 FILE[::LAYER]", "squads' territories, FILE[::LAYER]"),
    "squad_field": ("辖区图层中的中队编码列", "column of the squad's code in the territories"),
    "since_field": ("生效列", "column of the start of validity"),
    "until_field": ("失效列(不含当刻)", "column of the end of validity (exclusive)"),
    "territories_datum": (
        "图层坐标基准:wgs84、cgcs2000、gcj02、bd09",
        "datum of the layers: wgs84, cgcs2000, gcj02, bd09",
    ),
    "townships": ("乡镇(街道)图层 FILE[::LAYER]", "townships, FILE[::LAYER]"),
    "agreements": ("交界协议文件", "agreements between neighbours"),
    "designations": ("指定管辖文件", "designations by a superior"),
    "not_served": ("非本局管辖的地块", "ground that is explicitly somebody else's"),
    "direct": ("直属类别 CSV", "direct categories, CSV"),
    "squads": ("中队名录 CSV", "squads, CSV"),
    "extent": (
        "本局管辖范围;缺省为全部辖区并集、填满空洞",
        "the bureau's extent; default: the union of the territories, holes filled",
    ),
    "duty": ("值班中队编码", "code of the squad on duty"),
    "map": ("已编制的地图(代替上面各项)", "a compiled map, in place of the files above"),
    "work_crs": ("工作坐标系 EPSG:n,单位米;缺省按范围选定", "work CRS in metres; default: chosen from the extent"),
    "zone_m": ("交界带宽度(每侧,米)", "border zone, metres each side"),
    "line_accuracy_m": ("边界线精度(米)", "accuracy of the boundary lines, metres"),
    "timezone": ("无时区时间所用的时区", "zone of times that state none"),
    # point options
    "points": ("投诉文件:.parquet .csv .geojson .gpkg", "complaints: .parquet .csv .geojson .gpkg"),
    "out": ("输出文件:.parquet .csv .geojson .gpkg", "output: .parquet .csv .geojson .gpkg"),
    "lon": ("经度列(缺省 lon)", "longitude column (default: lon)"),
    "lat": ("纬度列(缺省 lat)", "latitude column (default: lat)"),
    "x": ("东坐标列(与 --y、--crs 连用)", "easting column (with --y and --crs)"),
    "y": ("北坐标列", "northing column"),
    "crs": ("坐标系 EPSG:n", "coordinate system, EPSG:n"),
    "datum": ("点的坐标基准:wgs84、cgcs2000、gcj02、bd09", "datum of the points: wgs84, cgcs2000, gcj02, bd09"),
    "error_m": ("定位误差半径(米)", "radius of the location error, metres"),
    "error_field": ("逐行误差列", "column of each row's error"),
    "category_field": ("类别列,如 GB30428:0501", "category column, such as GB30428:0501"),
    "at_field": ("发生时间列", "column of the time it happened"),
    "at": ("统一的时间", "one time for all"),
    "case_field": ("案件编号列", "case id column"),
    "found_by_field": ("发现案件的中队列", "column of the squad that found the case"),
    "margin_cap_m": ("余量上限(米)", "cap of the margin, metres"),
    "workers": ("线程数", "threads"),
    "reasons": ("另写 reasons 列(JSON)", "write the column reasons (JSON)"),
    "prefix": ("结果列名前缀", "prefix of the result's columns"),
    "at_point": ("经度,纬度", "longitude,latitude"),
    "category": ("类别", "category"),
    "json": ("输出 JSON,供程序读取", "print JSON for machines"),
    "lang": ("语言:zh-CN 或 en", "language: zh-CN or en"),
    "layer": ("要检查的图层 FILE[::LAYER]", "the layer to check, FILE[::LAYER]"),
    "check_points": ("带记录区划的点,用于判断基准", "points with a recorded district, to judge the datum"),
    "lines": ("另一个应与之共线的图层", "another layer that should share its lines"),
    "lines_datum": ("该图层的坐标基准", "datum of that layer"),
    "stage_check": ("检查", "checking"),
    "recorded": ("点文件中记录区划的列", "column of the recorded district"),
    "propose": (
        "把修复建议写到这个文件(不改动输入)",
        "write a proposed repair to this file (the input is not touched)",
    ),
    "propose_width": (
        "不超过此宽度(米)的重叠和空隙视为绘图误差,由建议处理;更宽的留给人",
        "overlaps and gaps up to this width (m) are taken for drawing flaws; wider ones are left to people",
    ),
    "map_file": ("已编制的地图文件", "the compiled map"),
    # results
    "t_route": ("派单结果", "Routing"),
    "rows": ("投诉", "complaints"),
    "doubtful": ("存疑", "doubtful"),
    "assisted": ("有协办", "with assistants"),
    "unlocated": ("无法定位({why}),转值班中队", "not located ({why}), to the duty squad"),
    "written": ("已写出 {out}", "written: {out}"),
    "step": ("步骤", "step"),
    "count": ("数量", "rows"),
    "share": ("占比", "share"),
    "squad": ("中队", "squad"),
    "map_version": ("地图版本 {version},规则版本 {rules}", "map {version}, rules {rules}"),
    "assumed": ("说明:{text}", "note: {text}"),
    "error": ("错误:{text}", "error: {text}"),
    "stage_read": ("读取", "reading"),
    "stage_locate": ("定位", "locating"),
    "stage_route": ("派单", "routing"),
    "stage_write": ("写出", "writing"),
    "stage_cases": ("生成案件", "living through the cases"),
    "stage_draw": ("绘图", "drawing"),
    "stage_faces": ("叠加辖区", "overlaying"),
    "compiled": (
        "{plates} 个时段图版,{faces} 块,{labels} 类;{squads} 个中队,{claims} 项依据。地图 {version} → {out}",
        "{plates} plates, {faces} faces, {labels} classes; {squads} squads, {claims} claims. Map {version} -> {out}",
    ),
    # the demo city
    "demo_out": ("演示文件的目录(没有则新建);缺省 demo", "folder of the demo's files (made if need be); default demo"),
    "demo_db": (
        "写入此数据库(没有则新建;须在本机,且没有案件),不写文件",
        "into this database (made if need be; on this machine, and without cases) instead of files",
    ),
    "demo_cases": ("投诉件数;文件缺省 1200,数据库缺省 500", "how many complaints; default 1200 as files, 500 in a database"),
    "demo_seed": ("随机种子:同一种子得到同样的数据", "the seed: the same one gives the same data"),
    "demo_in_database": (
        "已写入 {url}:{cases} 件案件,{orders} 次办理。每件都标有【演示 synthetic】,联系方式均为虚构。",
        "In {url}: {cases} cases, moved {orders} times. Each is marked 【演示 synthetic】, and nobody named in them exists.",
    ),
    "demo_password": ("口令", "password"),
    "demo_token": ("{name} 的令牌(Authorization: Bearer):", "The token of {name} (Authorization: Bearer):"),
    "demo_once": (
        "口令和令牌只显示这一次。名字人人知道,请勿把此数据库对外提供。",
        "Passwords and token are shown this once. Everybody knows the names: do not put this database where others can reach it.",
    ),
    "demo_do_serve": ("启动服务:", "Start the service:"),
    "demo_synthetic": (
        "界管演示城区:郑州市惠济区。只有区界轮廓与镇街名称、代码是真实的;中队、内部界线、规则和投诉全部是合成数据,电话均为虚构。",
        "The demo city of jieguan: Huiji District, Zhengzhou. Only its outline and the names and codes of its townships are real. "
        "Squads, inner lines, rules and complaints are synthetic, and no telephone number exists.",
    ),
    "demo_files": (
        "{folder} 里的文件(图层可用 QGIS 打开,表格可用 Excel 打开):",
        "In {folder} (layers open in QGIS, tables in a spreadsheet):",
    ),
    "demo_picture": ("地图:先看这个", "the map: look at this first"),
    "demo_decisions": (
        "每件投诉由谁主办、谁协办、凭哪一级规则、离变更多远",
        "who leads and who assists, by which step, how far from changing",
    ),
    "demo_complaints": ("投诉(合成)", "the complaints (synthetic)"),
    "demo_territories": (
        "八个中队的辖区:有一处重叠、一处空隙(合成)",
        "the grounds of eight squads, with an overlap and a gap (synthetic)",
    ),
    "demo_townships": ("八个镇街(界线为合成)", "the eight townships (their lines are synthetic)"),
    "demo_extent": ("区界(真实)", "the district's outline (real)"),
    "demo_squads": ("中队名录:属地、直属、外部单位、值班", "the squads: with ground, direct, external, on duty"),
    "demo_direct": ("归直属中队或外部单位的类别", "categories of a direct squad or an external unit"),
    "demo_agreements": ("新城与迎宾路中队的交界协议(按类别)", "an agreement of two neighbours, by category"),
    "demo_designations": ("指定管辖:一片区域、一处夜市、一个案件", "orders: for a zone, a night market, one case"),
    "demo_not_served": ("铁路用地:非本局管辖", "a railway: not the bureau's"),
    "demo_map": ("编制好的地图,带证明", "the compiled map, with its proof"),
    "demo_do_explain": ("逐级说明一件交界处的投诉:", "Why a complaint at a border goes where it goes, step by step:"),
    "demo_do_verify": (
        "核验地图:处处恰有一个中队,且与源文件一致:",
        "Prove that the map is total, and faithful to these files:",
    ),
    "demo_do_again": ("自己再派一遍:", "Route the complaints yourself:"),
    "demo_do_own": (
        "换成自己的城市:一个辖区图层、一个带 lon、lat 列的投诉表就够了:",
        "Your own city: a layer of territories and a table of cases with lon and lat will do:",
    ),
    "proven": (
        "已证明:每块地、每类事、每个时段恰有一个中队。",
        "Proven: every face, category group and interval has exactly one squad.",
    ),
    "faithful": ("并与源文件一致。", "And the map is faithful to its sources."),
    "unproven": ("未获证明,{count} 处问题:", "Not proven, {count} findings:"),
    "answer": ("由 {squad} 负责。", "{squad} is responsible."),
    "answer_assist": ("协办:{assist}。", "Assisting: {assist}."),
    "answer_doubt": ("存疑:请核实。", "In doubt: please make sure."),
    "answer_change": (
        "再向{bearing} {distance} 米就归 {squad}。",
        "{distance} m further {bearing} it would be {squad}.",
    ),
    "answer_on_line": (
        "正在线上;{bearing}侧归 {squad}。",
        "It lies on the line; on the {bearing} side it would be {squad}.",
    ),
    "answer_far": ("{cap} 米之内无论怎样移动都不会改变。", "Nothing within {cap} m would change it."),
    "answer_question": (
        "请问来电人:在{one}侧还是{two}侧?({one}侧归 {one_squad},{two}侧归 {two_squad})",
        "Ask the caller: on the {one} side or on the {two}? ({one}: {one_squad}, {two}: {two_squad})",
    ),
    "found_nothing": ("没有", "nothing"),
    "found": ("找到 {claims}", "found {claims}"),
    "chose": (",据此决定", ", which decides"),
    "why": ("依据", "what was found"),
    "when": ("何时决定、由谁负责", "when it decides, and who leads"),
    "issues_none": ("未发现问题。", "No issues."),
    "issues_count": (
        "{errors} 个错误,{warnings} 个警告,{notes} 个提示",
        "{errors} errors, {warnings} warnings, {notes} notes",
    ),
    "severity": ("级别", "severity"),
    "code": ("代码", "code"),
    "what": ("内容", "what"),
    "more": ("另有 {count} 条 {code}(用 --json 查看全部)", "and {count} more {code} (all with --json)"),
    "proposed": (
        "修复建议已写到 {out}:{changed} 个图形的地界有变,{left} 处留给人决定。逐项变化见 {table}。输入未被改动。",
        "A proposed repair is in {out}: {changed} features change, {left} findings are left to people. What changes is listed in "
        "{table}. The input was not touched.",
    ),
    "error_": ("错误", "error"),
    "warning_": ("警告", "warning"),
    "note_": ("提示", "note"),
    "whatif_db": ("地图数据库;此时 DRAFT 是其中草案的编号", "the map store's database; DRAFT is then the id of a draft in it"),
    "practice": (
        "从处理记录看界线:线边案件实际由谁处理,哪些地点宜订协议(只提建议,不改派单)。",
        "What records say about a border: who handled the cases beside it, and where an agreement would fit (proposals only).",
    ),
    "practice_recorded": ("记录实际处理中队的列", "the column of the squad that finally handled each case"),
    "practice_since": ("现行界线自何日起有效,例如 2015-01-01", "the day from which these lines hold, such as 2015-01-01"),
    "practice_out": ("把建议写到这个文件(.gpkg .geojson)", "write the proposals to this file (.gpkg .geojson)"),
    "stage_practice": ("分析记录", "reading the records"),
    "db": (
        "地图数据库:建立、升级、复制、备份、检查(内嵌文件 *.db,或 PostgreSQL + PostGIS)",
        "the map store's database: make, upgrade, copy, back up, check (an embedded file *.db, or PostgreSQL with PostGIS)",
    ),
    "db_url": (
        "数据库:文件 city.db,或 postgresql://用户@主机/库名",
        "the database: a file city.db, or postgresql://user@host/name",
    ),
    "db_init": ("建立数据库(已建立则不改动)", "make a database (one that is there is left as it is)"),
    "db_work_crs": (
        "工作坐标系(米),如 EPSG:4547;界线按它的毫米保存,以后不可更改",
        "the work CRS in metres, such as EPSG:4547; borders are kept in its millimetres, and it cannot be changed later",
    ),
    "db_upgrade": ("把数据库结构升级到本程序的版本", "bring a database to the schema of this program"),
    "db_copy": (
        "把整个数据库复制到另一处(内嵌与 PostgreSQL 互通),并以行数和哈希证明",
        "copy a whole database to another (embedded or PostgreSQL, either way), proven by counts and hashes",
    ),
    "db_source": ("来源数据库", "the database to copy from"),
    "db_destination": ("目标数据库,须为空", "the database to copy to; it must be empty"),
    "db_backup": ("把数据库备份为一个独立文件;服务可照常运行", "back a database up into a file of its own; the service may go on"),
    "db_backup_path": ("备份文件 *.db,须尚不存在", "the backup file *.db, which must not exist yet"),
    "db_check": (
        "检查数据库:文件、索引、引用、约束、全部哈希与生效期",
        "check a database: file, index, references, invariants, all hashes and periods",
    ),
    "db_ready": ("数据库 {url} 已就绪,工作坐标系 {work_crs}。", "The database {url} is ready; its work CRS is {work_crs}."),
    "db_current": ("结构已是 {needed},无需升级。", "The schema is {needed} already; nothing to do."),
    "db_upgraded": ("结构已由 {found} 升级到 {needed}。", "The schema was {found} and now is {needed}."),
    "db_copied": (
        "{rows} 行已由 {source} 复制到 {destination},两处逐表行数与哈希一致:",
        "{rows} rows copied from {source} to {destination}; counts and hashes of every table agree:",
    ),
    "db_sound": ("未发现问题。", "Sound: nothing found."),
    "db_unsound": ("发现 {count} 处问题:", "{count} findings:"),
    "bad_point": (
        "--at-point “{value}”不是“经度,纬度”。例如 113.617,34.868。",
        "--at-point {value!r} is not LON,LAT. For example 113.617,34.868.",
    ),
    "recorded_missing": (
        "--points 需要 --recorded 指明记录区划的列。",
        "--points needs --recorded, the column of the recorded district.",
    ),
}


def language(argv: Sequence[str], environment: dict[str, str] | None = None) -> Lang:
    """`--lang`, else the locale, else Chinese: the first language of the people this is made for."""
    for i, word in enumerate(argv):
        value = argv[i + 1] if word == "--lang" and i + 1 < len(argv) else word.removeprefix("--lang=")
        if (word == "--lang" or word.startswith("--lang=")) and value:
            return "en" if value.lower().startswith("en") else "zh-CN"
    env = os.environ if environment is None else environment
    locale = next((env[name] for name in ("LC_ALL", "LC_MESSAGES", "LANG") if env.get(name)), "")
    return "zh-CN" if locale.startswith(("zh", "C", "POSIX")) or not locale else "en"


def word(key: str, lang: Lang, **facts: object) -> str:
    """One sentence."""
    zh, en = WORDS[key]
    return (zh if lang == "zh-CN" else en).format(**facts)


def step_words(step: Step, lang: Lang) -> tuple[str, str]:
    """The name of a step, and when it decides and for whom."""
    zh_name, zh, en_name, en = STEPS[step]
    return (zh_name, zh) if lang == "zh-CN" else (en_name, en)


def direction(compass: int, lang: Lang) -> str:
    """A word for one of eight directions."""
    return COMPASS[compass][0 if lang == "zh-CN" else 1]
