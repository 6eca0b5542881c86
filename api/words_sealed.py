"""What the commands audit, keys and person say, in Chinese first and in English. A test compares keys and placeholders."""

from __future__ import annotations

WORDS: dict[str, tuple[str, str]] = {
    "sealed_db": (
        "数据库;不写则取 JIEGUAN_DATABASE,再不然为 jieguan.db",
        "the database; left out, JIEGUAN_DATABASE, or else jieguan.db",
    ),
    "master_made": (
        "已生成主密钥:{file}。没有它,任何密封内容都打不开:请另存一份,不要与数据库的备份放在一起。",
        "A master key has been made: {file}. Without it nothing that is sealed can be opened: keep a copy, apart from the backups of the "
        "database.",
    ),
    # audit
    "audit": ("核验记录:谁在何时做了什么,有没有被改动。", "Prove the record of who did what, and that nobody altered it."),
    "audit_verify": (
        "逐行核验记录的每一环,并与库外的锚比对;指出第一处被改、被删、被调换或被截去的行。有问题时退出状态为 1。",
        "Check every link of the record, and its end against the anchor outside the database; names the first row that was altered, "
        "removed, moved or cut off. Exit status 1 if there is one.",
    ),
    "audit_noted": (
        "以前记下的一条(编号:哈希),须仍在记录中;可重复",
        "an entry noted elsewhere before (number:hash) that must still be in the record; may be repeated",
    ),
    "audit_head": (
        "印出记录的末条(编号:哈希),以便抄存到别处。",
        "Print the last entry of the record (number:hash), to be noted elsewhere.",
    ),
    "audit_sound": (
        "{entries} 条记录,环环相扣,与锚一致。",
        "{entries} entries; every link holds and the end is the one the anchor knows.",
    ),
    "audit_unsound": ("{entries} 条记录,发现 {count} 处问题:", "{entries} entries, {count} findings:"),
    "audit_more": ("……另有 {count} 处", "... and {count} more"),
    # keys
    "keys": ("密封内容的密钥:轮换主密钥,备份。", "The keys of what is sealed: change the master key, back them up."),
    "keys_rotate": (
        "换主密钥:所有密钥改由新的主密钥保护,要么全部要么不变,已密封的内容仍可读。新的取自 JIEGUAN_NEW_MASTER_KEY,"
        "否则新生成一个写入私密目录。",
        "Change the master key: all keys are wrapped by the new one, all or none, and what is sealed stays readable. The new one is "
        "JIEGUAN_NEW_MASTER_KEY, or else a fresh one in the private folder.",
    ),
    "keys_rotated": ("{count} 把密钥已改由新的主密钥保护。", "{count} keys are wrapped by the new master key."),
    "keys_now_set": (
        "今后请把 {name} 设为 {new} 的值,并重启正在运行的服务。",
        "From now on set {name} to the value of {new}, and restart the services that run.",
    ),
    "keys_now_unset": (
        "新的主密钥在 {file}。请取消设置 {name}(它是旧的),并重启正在运行的服务。",
        "The new master key is in {file}. Unset {name}, which is the old one, and restart the services that run.",
    ),
    "keys_in_file": (
        "新的主密钥在 {file};正在运行的服务会自行改用它。",
        "The new master key is in {file}; services that run go on with it by themselves.",
    ),
    "keys_backup_again": (
        "请重新备份密钥:旧备份只有旧的主密钥能打开。",
        "Back the keys up again: only the old master key opens the old backup.",
    ),
    "keys_backup": (
        "把所有密钥(仍由主密钥保护)备份为一个文件,覆盖原有的。主密钥不在其中。",
        "Back up all keys, wrapped as they are, as one file that replaces the one before. The master key is not in it.",
    ),
    "keys_backup_file": ("备份文件;原有的会被覆盖", "the backup; the one before is replaced"),
    "keys_backed_up": ("{count} 把密钥已备份到 {file}。", "{count} keys are in {file}."),
    "keys_backup_why": (
        "只留这一份:旧的密钥备份里还有已销毁的密钥,放回它等于撤销清除。若不得不放回旧备份,请随即运行 jieguan person sweep。",
        "Keep this one only: an older backup of the keys still has those that were destroyed, and putting it back would undo erasures. If "
        "it must be, run jieguan person sweep right after.",
    ),
    # person
    "person": (
        "清除投诉人的资料:应要求,或保存期满。",
        "Forget who complained: on request, or when the time is over.",
    ),
    "person_erase": (
        "清除一件案件的投诉人资料和文字:销毁其密钥,历史和备份中的副本一并失效。不可恢复,记入记录。",
        "Forget who complained in one case, and all that was written in it: its key is destroyed, and every copy in history and backups "
        "with it. It cannot be undone, and is recorded.",
    ),
    "person_number": ("案号", "the number of the case"),
    "person_reason": ("理由;密封存入记录", "why; it is sealed in the record"),
    "person_by": ("何人所为", "who does it"),
    "person_open": ("未结案也清除", "also if the case is still open"),
    "person_erased": (
        "案件 {number} 的投诉人资料和文字已清除,任何副本都打不开了。",
        "Who complained in case {number}, and what was written in it, is erased; no copy opens any more.",
    ),
    "person_erased_before": (
        "案件 {number} 此前已清除({at})。",
        "Case {number} had been erased before ({at}).",
    ),
    "person_sweep": (
        "清除保存期已满的:结案后超过规定天数的案件。可由定时任务每天运行。",
        "Erase what is due: cases that ended longer ago than they may be known. Made to be run every day by a timer.",
    ),
    "person_swept": (
        "已清除 {count} 件到期案件;另补完 {finished} 件此前中断或因放回旧密钥备份而复活的。",
        "{count} cases that were due are erased; {finished} more that had been cut short, or come back with an old backup of the keys.",
    ),
}
