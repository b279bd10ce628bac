# SPDX-License-Identifier: GPL-3.0-or-later
"""The facts that a control may name, in one place.

To add a fact: write a reader ``read(host, keys)`` in a module of this folder and enter it below. Readers run on the
host with the standard library of Python 3.9; they change nothing and need no package. What cannot be read is returned
as `Unreadable`, and what is malformed is told to ``host.problem`` while the reader goes on.
"""

from __future__ import annotations

from typing import NamedTuple


class Fact(NamedTuple):
    """One top-level fact.

    Attributes:
        reader: module of this folder and function in it: ``module:function``.
        about: what it tells, and its source.
        paths: its sub-paths and what each holds; ``*`` stands for any one segment.
    """

    reader: str
    about: str
    paths: dict[str, str]


FACTS: dict[str, Fact] = {
    "os": Fact(
        "system:operating_system",
        "The operating system, from os-release(5) and uname(2).",
        {
            "id": "distribution, such as debian",
            "version_id": "release, such as 12",
            "pretty_name": "its full name",
            "kernel": "kernel release",
            "container": "what container the host is (container-getty's /run/systemd/container), or null",
        },
    ),
    "login_defs": Fact(
        "accounts:login_defs",
        "/etc/login.defs, login.defs(5).",
        {
            "*": "value of that key: a whole number where it is one, else text; null when not set",
        },
    ),
    "accounts": Fact(
        "accounts:accounts",
        "passwd(5) and shadow(5). Ages are in days.",
        {
            "names": "login names",
            "uid_zero": "names of the accounts with user id 0",
            "duplicate_ids": "user ids that more than one account has, with the names",
            "password_state": "name -> usable, locked, none or empty",
            "empty_password": "names that log in with no password at all",
            "hash_scheme": "name -> hash scheme, of accounts with a usable password",
            "max_days": "name -> maximum password age, of accounts with a usable password; null when ageing is off",
            "password_age": "name -> days since the password was set, of accounts with a usable password and a date",
            "must_change": "names that must change their password at the next login",
            "malformed": "lines of passwd, shadow and group that are not of their form: file:line problem",
        },
    ),
    "ledger": Fact(
        "ledger:ledger",
        "The account ledger as it was applied to this host last, and where the host has drifted from it.",
        {
            "present": "true when the ledger was applied to this host",
            "unregistered": "accounts of people (UID_MIN to UID_MAX) that are not in it",
            "missing": "accounts that it has and the host has not",
            "differing": "account -> what differs: groups, sudo, keys, shell, expires, locked",
            "not_withdrawn": "account that must be locked or gone -> what still stands: account, password, keys, ...",
            "shared_keys": "fingerprint of an SSH key -> accounts that it opens, where these are several",
            "unused": "account that can be logged in to -> days since its last login or its beginning, or null",
            "never_changed": "account whose issued password was never changed -> days since it was issued",
        },
    ),
    "pam": Fact(
        "pam:pam",
        "PAM stacks as they really resolve through includes, pam.conf(5).",
        {
            "*.auth.modules": "modules of a service's auth stack in order, with the faillock step where it is one",
            "*.account.modules": "the same of its account stack",
            "*.password.modules": "the same of its password stack",
            "*.auth.options.*": "the arguments of that module in the auth stack",
            "*.account.options.*": "the same in the account stack",
            "*.password.options.*": "the same in the password stack",
            "without_lockout": "service -> why failures would not lock there; of services that ask for a password",
            "accepting_wrong_passwords": "services that let a wrong password in, of anybody or of users that they name",
            "accepting_empty_passwords": "services where pam_unix has nullok",
            "ignoring_a_due_change": "services that let a password stay that must be changed",
            "ignoring_expired_accounts": "services that let an expired account in",
            "without_quality_check": "service -> why a weak password would pass; of services that set passwords",
            "without_history": "service -> why an old password would pass; of services that set passwords",
            "malformed": "lines of PAM files that are not of their form: file:line problem",
        },
    ),
    "faillock": Fact(
        "pam:faillock",
        "Effective settings of pam_faillock(8): faillock.conf(5) and its defaults.",
        {
            "*": "that setting: a whole number, true for a bare option, text, or null when not set",
            "overrides": "arguments in PAM lines that override the file: service: argument",
        },
    ),
    "pwquality": Fact(
        "pam:pwquality",
        "Effective settings of pam_pwquality(8): pwquality.conf.d, pwquality.conf(5).",
        {
            "*": "that setting: a whole number, true for a bare option, text, or null when not set",
            "overrides": "arguments in PAM lines that override the files: service: argument",
        },
    ),
    "pwhistory": Fact(
        "pam:pwhistory",
        "Effective settings of pam_pwhistory(8) over all services that set passwords.",
        {
            "remember": "how many old passwords are refused: the smallest of all services; null when nowhere",
            "files": "where old passwords are kept",
            "enforce_for_root": "true when root is held to it too, in every service",
        },
    ),
    "sudo": Fact(
        "sudo:sudo",
        "What sudo(8) does: sudoers(5) as its own parser cvtsudoers(1) reads it, with includes and aliases resolved.",
        {
            "defaults.*": "that option of Defaults lines for everybody, or sudo's own default; null when it has none",
            "weakened": "who or what: option, of Defaults lines for some that are weaker than those for everybody",
            "passwordless": "user, %group or ALL -> rules by which no password is asked; root aside",
            "administrators": "accounts that may run everything as root",
            "su_alike": "user or %group -> rules by which somebody else than root has a shell of root's",
            "malformed": "what the parser complains of: file:line problem",
            "open_files": "files of sudoers that others than root can change or read, with owner and mode",
        },
    ),
    "su": Fact(
        "sudo:su",
        "Whom su(1) lets become somebody else, by its PAM stack.",
        {
            "open": "true when anybody who knows the password gets through",
            "group": "the group whose members alone get through, pam_wheel(8); null when there is none",
            "members": "its members; null when there is no such group",
            "root": "true when root needs no password",
        },
    ),
    "utilities": Fact(
        "utilities:utilities",
        "Utility programs by class (compilers, debuggers, network, mounting, system) or path; blanks between several.",
        {
            "*.present": "the files there are, links followed",
            "*.open": "those of them that everybody may run",
        },
    ),
    "cron": Fact(
        "cron:cron",
        "Who may have jobs run at a time, crontab(1), at(1).",
        {
            "allow": "names in /etc/cron.allow; null when it is not there",
            "deny": "names in /etc/cron.deny; null when it is not there",
            "at_allow": "names in /etc/at.allow; null when it is not there",
            "at_deny": "names in /etc/at.deny; null when it is not there",
            "users": "names that have a crontab or at jobs",
            "open": "cron's own files and directories in /etc that are open to others than root, with owner and mode",
        },
    ),
    "polkit": Fact(
        "polkit:polkit",
        "Rules of polkit(8).",
        {
            "present": "true when polkit is installed",
            "admins": "who proves to be an administrator: unix-group:sudo, unix-user:0",
            "granting": "files of this host's own rules that let somebody through unasked",
            "open": "files and directories of rules that others than their owner can change, with their mode",
        },
    ),
    "root": Fact(
        "root:root",
        "What root's shells start with.",
        {
            "unsafe_path": "entries of root's search path that are relative, or can be written to by others",
            "open_umask": "root's own files that set a umask which leaves anything to others",
            "login_umask": "the umask that /etc/profile.d sets; null when it sets none",
            "home_closed": "true when /root is root's alone",
            "gid_zero": "accounts whose main group is group 0",
            "group_zero": "groups with id 0",
        },
    ),
    "system_accounts": Fact(
        "root:system_accounts",
        "Accounts outside UID_MIN to UID_MAX, login.defs(5), root aside.",
        {
            "with_shell": "account -> its shell, where that is one of /etc/shells",
            "with_password": "accounts that have a password, or need none",
            "nologin_is_a_shell": "shells in /etc/shells that let nobody in",
        },
    ),
    "files": Fact(
        "files:files",
        "Files by path, stat(2); a link is not followed.",
        {
            "*.exists": "true or false",
            "*.type": "file, directory, link, other; null when absent",
            "*.owner": "owner's name, or its number where it has none",
            "*.group": "group's name, or its number where it has none",
            "*.mode": "permissions as four octal digits: 0640",
            "*.sha256": "hash of the content",
            "*.content": "content as text",
            "*.target": "where a link points",
        },
    ),
    "packages": Fact(
        "packages:packages",
        "Installed Debian packages, /var/lib/dpkg/status.",
        {
            "*": "installed version, or null",
        },
    ),
    "software": Fact(
        "packages:software",
        "All installed Debian packages, /var/lib/dpkg/status and apt's marks, apt-mark(8).",
        {
            "installed": "names of the packages that are wholly installed",
            "chosen": "of these, what somebody asked for: no part of Debian's base, no library, and needed by no other",
        },
    ),
    "log_forwarding": Fact(
        "logs:log_forwarding",
        "Where rsyslog sends records, /etc/rsyslog.conf, and its queues.",
        {
            "targets": "names of the log servers that get every record by RELP",
            "unprotected": "of these, those that do not have to prove their name by a certificate",
            "journal": "true when the journal is what is sent",
            "files": "files of other programs that are sent",
            "sessions": "true when recorded sessions are sent as well",
            "waiting_mb": "MB that wait for log servers",
        },
    ),
    "recorded_sessions": Fact(
        "logs:recorded_sessions",
        "What kijun-session-sender noted last of sudo's recorded sessions; null where it never ran.",
        {
            "looked_minutes": "minutes since it looked",
            "waiting": "sessions that are over and were not sent",
            "waiting_minutes": "minutes since the first of these ended; 0 when there are none",
            "problem": "why they wait; empty when nothing is known of it",
        },
    ),
    "log_store": Fact(
        "logs:log_store",
        "What kijun-log-keeper of a log server found last; null where there is none.",
        {
            "age_hours": "hours since it looked",
            "used_percent": "per cent of the store's file system in use",
            "lacking": "true when there is no room for as many days as must be kept",
            "unsigned": "days that are closed and have no digest",
            "oldest": "the first day of which there are records",
            "not_append_only": "why files are not append-only; empty when they are",
            "days": "days that records are kept",
            "journal_days": "days that the operations journal is kept",
            "readers": "members of the group kijun-logs",
        },
    ),
    "log_review": Fact(
        "logs:log_review",
        "What the watch over a log server's records, and the review of its days, noted last; null where there is none.",
        {
            "rules": "ids of the rules that are set",
            "in_force": "true when these are the rules that the watch holds records against",
            "watch_age_seconds": "seconds since the watch said that it is alive",
            "behind_mb": "MB of records that are there and that it has not read",
            "silent": "hosts that have not been heard of for too long",
            "review_age_hours": "hours since days were reviewed",
            "unreviewed": "days that are over and could not be reviewed",
            "told_to": "mail addresses of those who are told of findings",
            "alert_age_seconds": "seconds since findings were looked through for what is to be told",
            "untold": "why findings could not be told; empty when they could",
        },
    ),
    "change": Fact(
        "changes:change",
        "What kijun-change wrote down: the change that is open, and the last one that ended.",
        {
            "installed": "whether kijun-change is there",
            "open": "id of the change that is open; null when none is",
            "open_hours": "hours since it began; 0 when none is open",
            "failures": "what could not be put back when it was taken back",
            "last": "outcome of the last change that ended: ok, rolled_back, failed; null when there was none",
            "unsaid": "changes that ended well without a backup before or after, or without what must be said",
        },
    ),
    "usb": Fact(
        "usb:usb",
        "What the role removable_media wrote, usbguard-daemon.conf(5), and the rules in force, usbguard(1).",
        {
            "daemon_settings": "lines of the daemon's settings",
            "access": "files by which users get a say about devices",
            "rules_differ": "rules in force that should not be (+), and those that should (-)",
            "interfaces": "kinds of interfaces that devices may have which are no media",
            "one_keyboard": "whether a second keyboard is refused",
            "media": "names of the media that the host takes",
            "unscanned": "where USB file systems are mounted that were not scanned before",
            "encryption": "which media must be encrypted beside those that the book records as LUKS volumes",
            "plaintext": "media that must be encrypted and are not: refused for it, or mounted",
            "left_open": "open LUKS volumes of USB devices that the role did not open, or whose device went",
        },
    ),
    "mail": Fact(
        "mail:mail",
        "The kernel's tables of sockets, and what Postfix says of its settings, postconf(1).",
        {
            "received": "addresses beyond the host itself at which it takes mail in",
            "unscanned": "why mail comes in there that nothing has scanned",
        },
    ),
    "malware": Fact(
        "malware:malware",
        "What kijun-malware wrote down, clamd.conf(5), and whether clamd answers.",
        {
            "answers": "whether clamd answers at its socket",
            "gaps_open": "units of the protection that stopped and do not run again",
            "prevention": "whether clamonacc keeps infected files from being opened",
            "on_access_paths": "trees whose files are scanned as they are opened",
            "not_handled": "ids of finds of the last month that could not be put into quarantine",
            "quarantine_mode": "mode of the quarantine's directory; null when there is none",
            "quarantined": "how many files are in quarantine",
            "isolate": "for which finds the host cuts itself off: never, failed, any",
            "source": "address of the internal server of definitions",
            "update_age_hours": "hours since definitions were last looked for with success; null for never",
            "update_error": "why the last look failed; null when it did not",
            "definitions": "names of the files of definitions in force",
            "version": "version of the internal server's own set",
            "scan_age_days": "days since the last full scan ended; null for never",
            "scan_waits_hours": "hours since definitions came that no full scan was begun with; 0 when none wait",
            "last_scan.*": "the last full scan: started, finished, files, finds, too_large, unread",
        },
    ),
    "malware_mirror": Fact(
        "malware_mirror:malware_mirror",
        "What a mirror publishes, what its web server answers, nginx's settings, and kijun-malware-mirror's notes.",
        {
            "served": "addresses at which the published manifest is got by HTTPS, under the internal authority",
            "beyond": "addresses at which something else than definitions is got as well",
            "protocols": "ssl_protocols of the mirror's site",
            "certificate": "ssl_certificate of the mirror's site",
            "certificate_key": "ssl_certificate_key of the mirror's site",
            "version": "version of the published definitions; null when there are none",
            "set_age_days": "days since the published definitions were last changed",
            "whole": "whether the manifest's signature fits the public key, and the files fit the manifest",
            "unpublished": "names of the organisation's own definitions that are not published as they are",
            "key_faults": "of the signing key and its folder, what is missing, another's, or open to others",
            "changeable": "published files and directories that others than root may change; the vendor's are clamav's",
            "unreadable": "published files that the web server may not read",
            "published_age_hours": "hours since definitions were last published, or found published, with success",
            "failed": "what went wrong in the last run of kijun-malware-mirror.service",
            "vendor_age_days": "days since the vendor made the newest definitions that are here; null for none",
        },
    ),
    "desktop": Fact(
        "workstation:desktop",
        "What desktops are set to for everybody, dconf(7), and who is logged in without having said who he is.",
        {
            "profile": "lines of /etc/dconf/profile/user: the databases that a session reads",
            "settings.*": "value of that key for a user who set nothing, as dconf prints it: uint32 900; null: not set",
            "greeter.*": "the same of the login screen, /etc/dconf/profile/gdm",
            "locks": "keys that no user sets for himself",
            "astray": "people who are logged in and whose programs may read other settings than these",
            "automatic_logins": "settings that log somebody in unasked, or a guest: file: line",
        },
    ),
    "screens": Fact(
        "workstation:screens",
        "What kijun-workstation-watch saw of graphical sessions last.",
        {
            "lock_seconds": "seconds without a key or movement after which it has a session lock its screen",
            "age_seconds": "seconds since it looked; null: never",
            "sessions": "sessions that it saw, in use or locked",
            "unlocked": "sessions that were idle for longer and did not lock, with what held them open",
            "not_seen": "sessions of which nobody says how long they are idle",
        },
    ),
    "programs": Fact(
        "workstation:programs",
        "What fapolicyd(8) lets run: fapolicyd.rules(5), fapolicyd.conf(5).",
        {
            "rules": "its rules in their order",
            "permissive": "0 where it refuses, 1 where it only says so; null: no settings",
            "unwatched": "mounted file systems that could hold programs and that it does not watch: place: type",
            "stale": "rules or settings that are newer than the daemon that goes by them, or that there is none",
            "changeable": "places of approved programs that others than root can write to: place: owner mode",
        },
    ),
    "disks": Fact(
        "disks:disks",
        "Volumes that hold data, mounted or not, and swap: /sys/class/block, udev's database.",
        {
            "encrypted": "those that stand on encryption alone: device type places",
            "unencrypted": "the others, but for what starts the machine (/boot, EFI)",
            "carried": "media that are plugged in and out",
        },
    ),
    "firmware": Fact(
        "disks:firmware",
        "What the firmware tells Linux of itself: efivars, SMBIOS, the vendor's driver, the TPM's.",
        {
            "secure_boot": "true or false; null where the firmware is no UEFI",
            "security_chip": "TPM and its version, such as TPM 2; null where there is none",
            "start_password": "set, not set, or unknown: whether it asks for a password before a start",
        },
    ),
    "units": Fact(
        "units:units",
        "systemd units, systemctl show.",
        {
            "*.load": "LoadState: loaded, masked, not-found",
            "*.active": "ActiveState: active, inactive, failed",
            "*.enabled": "UnitFileState: enabled, disabled, masked, static; empty when there is none",
        },
    ),
    "services": Fact(
        "units:services",
        "What runs programs on the host: services, sockets, timers and paths of systemd.",
        {
            "enabled": "units that start at boot, by links in /etc, /run and /usr/local, or by a script in /etc/init.d",
            "active": "units that run now, or wait for something to start them",
        },
    ),
    "environment": Fact(
        "environment:environment",
        "Which environment the host belongs to, and what its login banners give away.",
        {
            "name": "its name in /etc/kijun/environment: production, staging, ...; null where there is none",
            "colour": "its colour in that file",
            "revealing": "file:line of login banners (issue, issue.net, motd) that tell of the operating system",
        },
    ),
    "sockets": Fact(
        "sockets:sockets",
        "Listening sockets, /proc/net, with the program that holds each.",
        {
            "tcp": "list of address:port",
            "udp": "list of address:port",
            "tcp_ports": "port numbers reachable from other hosts",
            "udp_ports": "port numbers reachable from other hosts",
            "programs": "proto/address:port -> program",
            "listening": "list of: protocol address:port program; in place of systemd, the socket unit it waits for",
        },
    ),
    "sshd": Fact(
        "sshd:sshd",
        "Effective settings of sshd, sshd -T; null where no sshd is installed.",
        {
            "*": "that keyword's value in lower case; a list where it stands more than once",
        },
    ),
    "sshd_for": Fact(
        "sshd:sshd_for",
        "Effective settings of sshd for each kind of connection its Match blocks tell apart, sshd -T -C; by groups "
        "with colons between, - for none.",
        {
            "*.members.*": "that keyword for members of the groups: connection -> value, a list where it takes several",
            "*.others.*": "the same for everybody else",
            "*.not_enrolled": "members of the groups that have no second factor",
            "*.open_secrets": "secrets of second factors that others than root can read, with owner and mode",
        },
    ),
    "second_factor": Fact(
        "second_factor:second_factor",
        "What a PC's own logins ask members of groups for besides a password, by PAM stacks as they resolve; by "
        "GROUPS at SERVICES without NAMES, each with colons between, - for no groups. Services that enter a host "
        "(pam_loginuid) are tried beside those named.",
        {
            "*.without": "service -> members of the groups that get in without a code",
            "*.asking": "services where all of them need one",
            "*.shut_out": "service -> accounts of NAMES that do not get in without one",
            "*.not_enrolled": "members that have no second factor",
            "*.open_secrets": "secrets of second factors that others than root can read, with owner and mode",
            "*.nobody": "true where no account of the host is a member",
        },
    ),
    "sshd_from": Fact(
        "sshd:sshd_from",
        "Whom sshd refuses by address, sshd -T -C; by networks with commas between.",
        {
            "*.let_in": "addresses in none of the networks that are not refused; the nearest ones are tried",
            "*.shut_out": "addresses in the networks that are refused",
        },
    ),
    "ssh_host": Fact(
        "sshd:ssh_host",
        "The keys that sshd proves itself with, and its files.",
        {
            "key_types": "private key -> rsa, dsa, ecdsa, ed25519",
            "rsa_bits": "private RSA key -> its bits",
            "open_files": "files of the configuration, and keys, that others can read or write, with owner and mode",
        },
    ),
    "permissions": Fact(
        "permissions:permissions",
        "Sensitive files that are more open than they may be, stat(2): path -> what is wrong.",
        {
            "accounts": "passwd(5), shadow(5), their copies and the like",
            "system": "root's settings, units and search path, the boot loader's configuration",
            "logs": "files below /var/log",
            "temporary": "directories where everybody writes, without the sticky bit",
            "homes": "home directories of people and of root",
            "dotfiles": "files in them whose names begin with a dot",
            "homes_astray": "home directories that are missing or belong to somebody else: account: what",
            "trusting": "files by which others are let in without a password, hosts.equiv(5)",
            "open_umask": "lines of the shells' start files that leave new files more open than 027: file: umask",
            "*": "one of those that are mappings, without some paths: permissions[logs without /var/log/a /var/log/b]",
        },
    ),
    "mounts": Fact(
        "mounts:mounts",
        "File systems as they are mounted, proc(5), and as fstab(5) has them at the next boot.",
        {
            "separate": "all mount points",
            "*.separate": "whether something is mounted there",
            "*.type": "type of the file system mounted there, or null",
            "*.options": "options of that mount, or null",
            "*.without": "which of nodev, nosuid and noexec it lacks; empty when nothing is mounted there",
            "*.fstab": "options of its line in fstab(5), or null",
            "*.fstab_without": "which of nodev, nosuid and noexec that line lacks; empty when there is none",
        },
    ),
    "inventory": Fact(
        "inventory:inventory",
        "What the file inventory found last, /var/lib/kijun/inventory/files.json: path -> what of it.",
        {
            "age_days": "days since it was made, or null",
            "settings_current": "whether it was made with the settings that the host has now",
            "files": "how many files were seen",
            "seconds": "how long it took",
            "privileged": "programs with set-user-id or set-group-id",
            "privileged_paths": "their paths",
            "changeable": "those of them that others than root can write to, as they are now",
            "capabilities": "programs with capabilities(7)",
            "capability_paths": "their paths",
            "unowned": "files of no user or no group",
            "writable_files": "files that anybody can write to",
            "open_directories": "directories where anybody can remove anybody's files",
            "unread": "directories that could not be read",
            "skipped": "mounts that were left out for their type",
            "cut_short": "kinds of which there were too many to list",
        },
    ),
    "integrity": Fact(
        "inventory:integrity",
        "The integrity baseline and the last comparison with it, aide(1).",
        {
            "baseline": "missing, being made since ..., or made",
            "baseline_age_days": "days since it was made, or null",
            "ticket": "for which approved change it was made anew, or null",
            "database": "SHA-256 of its database, or null",
            "database_intact": "whether that is what it was when the baseline was made",
            "settings_current": "whether it was made with the configuration that the host has now",
            "check_age_days": "days since the last comparison, or null",
            "differences": "how many files differed then",
            "added": "files that were added",
            "removed": "files that were removed",
            "changed": "file -> what of it changed",
        },
    ),
    "certificates": Fact(
        "certificates:certificates",
        "X.509 certificates, openssl(1); the key names their files, with commas between and * for any characters.",
        {
            "*": "those of these files",
            "*.ends": "file -> day on which its certificate ends",
            "*.due": "files whose certificate is to be renewed: three months before its end, or after two thirds of a "
            "life of three months or less",
            "*.unreadable": "files without a certificate, and why",
            "*.missing": "names that no file has",
            "*.foreign_keys": "files of keys that do not fit the certificate beside them",
            "*.open_keys": "files of keys that others than their owner can read, and their mode",
        },
    ),
    "updates": Fact(
        "updates:updates",
        "Unattended upgrades as they are set up, apt.conf(5), systemd.timer(5), and what the daily slot recorded last.",
        {
            "slot": "when the slot is, as systemd has it: *-*-* 14:00:00",
            "spread_minutes": "minutes over which it is spread",
            "catches_up": "whether a slot that was missed, the host being off, is made up for at its next start",
            "recorded_by_slot": "whether the slot ends with a record of what is left",
            "installs": "whether the slot installs anything",
            "origins": "patterns of the package sources that it installs from",
            "held": "regular expressions of packages that it does not install",
            "reboots": "whether it restarts the host when an update needs that",
            "run_age_days": "days since the slot ended; before the first, since the host was set up; null: never",
            "result": "how it ended, systemd.exec(5) SERVICE_RESULT: success, exit-code, ...; none yet",
            "record_age_days": "days since the record, or null",
            "lists_age_days": "days since all package lists were fetched, or null",
            "lists_error": "why they could not be, the last time",
            "pending": "package -> update that is not installed: versions, source, why",
            "withheld": "security updates that are kept from being installed: package -> versions, source, why",
            "security_days": "security updates that are not installed, versions, source, why -> days since first seen",
            "other_days": "the same of all other updates",
            "broken": "packages that are installed by halves",
            "replaced_code_days": "services on replaced code, and reboot where one is due -> days since first seen",
        },
    ),
    "sysctl": Fact(
        "system:sysctl",
        "Kernel settings in force, /proc/sys.",
        {
            "*": "value: a whole number where it is one, else text; null when the kernel has none of that name",
        },
    ),
    "nftables": Fact(
        "nftables:nftables",
        "The packet filter in force, nft(8): Kijun's table in it, and what else there is.",
        {
            "present": "true when Kijun's table is in force",
            "differs": "what is in force and not what /etc/nftables.conf gives, or the other way round",
            "input_policy": "what becomes of incoming packets that no rule is for: drop, accept; null: no chain",
            "forward_policy": "the same of packets that are passed on",
            "output_policy": "the same of outgoing packets",
            "accepted": "what else may be reached from where: tcp/443 from any",
            "management": "what may be reached from where by the rules for management: tcp/22 from 192.0.2.0/24",
            "accepted_out": "what rules of outgoing packets let out: udp/53 to 192.0.2.1",
            "rules.*": "the rule of Kijun's table with that comment, as text; null when there is none",
            "blocked": "addresses that are blocked now",
            "other_tables": "family and name of tables that are not Kijun's",
            "isolation": "whether the host is isolated, since when, by whom and why; null when not",
        },
    ),
    "fail2ban": Fact(
        "fail2ban:fail2ban",
        "What fail2ban does, by its jails, as its server tells it, fail2ban-client(1).",
        {
            "*.maxretry": "failures that have an address blocked; null when there is no such jail, as of all below",
            "*.findtime": "seconds within which they count",
            "*.bantime": "seconds that an address stays blocked",
            "*.ignoreip": "networks and addresses that are never counted",
            "*.ignorecommand": "the command that says who else is not counted",
            "*.ignoreregex": "regular expressions of what it does not count",
            "*.journalmatch": "the entries of the journal that it reads",
            "*.ban": "the commands that block an address",
        },
    ),
    "kernel_settings": Fact(
        "kernel:kernel_settings",
        "Kernel settings, sysctl(8), now and after the next start, sysctl.d(5); a name may hold * for every interface.",
        {
            "*": "in force -> value, at boot -> value or null; with *: the same of each interface, by its name",
        },
    ),
    "modules": Fact(
        "kernel:modules",
        "Kernel modules, /proc/modules and modprobe.d(5); a hyphen in a name is written as an underscore.",
        {
            "loaded": "names of the modules in the kernel",
            "blocked": "names that are on the blacklist and whose first install line does nothing",
        },
    ),
    "core_dumps": Fact(
        "kernel:core_dumps",
        "What becomes of the memory of a process that crashes: limits.conf(5), coredump.conf(5).",
        {
            "limits": "domain (*, a user, @group) -> hard limit of core dumps: blocks, or unlimited",
            "storage": "Storage of systemd-coredump, or null",
            "process_size_max": "ProcessSizeMax of systemd-coredump, or null",
        },
    ),
    "apparmor": Fact(
        "kernel:apparmor",
        "AppArmor, apparmor(7), as the kernel tells it.",
        {
            "enabled": "true when the kernel enforces profiles",
            "enforced": "names of the profiles that are enforced",
            "not_enforced": "names of the profiles that only complain",
            "escaped": "programs that have a profile and run without it",
        },
    ),
    "boot_loader": Fact(
        "kernel:boot_loader",
        "GRUB's menu, /boot/grub/grub.cfg.",
        {
            "present": "true when there is one",
            "superusers": "who may change entries and use GRUB's command line, by a password; empty: everybody may",
            "passwords": "users with a hashed password",
            "plain_passwords": "users with a password in plain text",
            "without_apparmor": "kernels that the menu starts without apparmor=1",
        },
    ),
    "audit": Fact(
        "audit:audit",
        "The kernel's audit, auditctl(8), beside what /etc/audit says; null where there is no auditctl.",
        {
            "present": "true when auditctl is installed",
            "enabled": "0: nothing is recorded, 1: something is, 2: and no rule changes before the next start",
            "failure": "what the kernel does when a record would be lost: 0 nothing, 1 it says so, 2 it stops",
            "kept": "true when auditd gets the records",
            "backlog_limit": "records that may wait for auditd",
            "backlog": "records that wait",
            "lost": "records that were lost since the start",
            "missing": "rules of /etc/audit/rules.d that the kernel does not have; not those whose place is not there",
            "foreign": "rules that the kernel has from no file",
            "silencing": "rules of the kernel by which something is not recorded",
            "unset": "what else the files set and the kernel does not have: name -> now, wished",
            "to_journal": "true when auditd hands every record to the journal, audisp-syslog(8)",
            "settings.*": "that setting of auditd.conf(5)",
        },
    ),
    "audit_keys": Fact(
        "audit:audit_keys",
        "Rules of the kernel's audit by their key, /etc/audit/rules.d/audit.rules and auditctl(8).",
        {
            "*.written": "the machine's architecture, uname(2), and the SHA-256 of the file's lines; null for no line",
            "*.missing": "of these, rules that the kernel does not have; not those whose place is not there",
            "*.unwatchable": "of these, rules whose place is not there: a file's directory, or the directory itself",
        },
    ),
    "backup": Fact(
        "backup:backup",
        "Backups of this host, as kijun-backup noted them last; null for what never went well.",
        {
            "classes": "classes of which the host has something",
            "methods": "class -> how it is backed up",
            "server": "the backup server, by its name in the inventory",
            "never": "classes that were never backed up well",
            "age_hours": "class -> hours since the last good backup began",
            "daily_age_hours": "class -> the same of incremental and full ones",
            "differential_age_hours": "class -> the same of differential and full ones",
            "full_age_days": "class -> days since the last good full backup began",
            "failed": "what failed the last time, and why: class, check, restore of class",
            "check_age_hours": "hours since the repository was last found whole",
            "restore_age_days": "class -> days since a restore last proved it",
            "restore_equal": "class -> whether the last one gave back the same",
            "rto_minutes": "class -> minutes that it took",
            "escrow_readers": "how many may read the repository's password when the host is lost",
            "escrow_host": "where it is kept for them",
        },
    ),
    "backup_server": Fact(
        "backup:backup_server",
        "What a backup server keeps, as kijun-backup-keeper noted it last.",
        {
            "clients": "hosts whose backups are kept",
            "age_hours": "hours since the keeper looked",
            "used_percent": "how full the storage is",
            "failing": "disks that say that they fail, arrays that lack one",
            "damaged": "stored files that are not what was put there",
            "client_age_hours": "client -> hours since something came from it",
            "client_used_percent": "client -> how much of its quota is used",
            "prune_age_hours": "client -> hours since what is old enough was removed",
            "copy_host": "the host of the second copy",
            "copy_age_hours": "hours since the second copy was last made",
            "retention": "tag -> days that snapshots are kept",
            "retention_classes": "class -> the same, where it differs",
            "retention.*": "days that snapshots with this tag are kept",
        },
    ),
    "chrony": Fact(
        "chrony:chrony",
        "chronyd's configuration (chrony.conf(5)) and state (chronyc(1)).",
        {
            "running": "true when chronyd answers",
            "synchronised": "true when the clock follows a source and its state is normal",
            "reference": "name or address of the source that the clock follows, or null",
            "stratum": "distance to the reference clock",
            "offset": "how far the clock is off, in seconds, without sign",
            "worst_step": "largest step or error that chronyd reported in the last day, in seconds",
            "allowed": "networks that are answered",
            "configured": "names of configured servers, peers and pools",
            "without_nts": "configured names that are not authenticated by NTS",
            "nts_unauthenticated": "sources that ask for NTS and have no cookies or key",
            "directives.*": "its arguments, true where it has none; a list when it is repeated; null when absent",
        },
    ),
}


def known(segments: list[str]) -> bool:
    """Tell whether the registry has a fact of this path.

    Args:
        segments: the path, split.
    """
    fact = FACTS.get(segments[0])
    if fact is None:
        return False
    for pattern in fact.paths:
        parts = pattern.split(".")
        if len(parts) == len(segments) - 1 and all(p in ("*", s) for p, s in zip(parts, segments[1:])):
            return True
    return False
