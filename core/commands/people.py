"""``people``: accounts, roles, groups, codes and tokens, for who has the server's command line."""

import argparse
import getpass
import sys
from typing import TYPE_CHECKING

from core.errors import InputError
from core.people.accounts import Accounts
from core.people.kept import KeptPeople
from core.people.limits import TOKEN_DAYS
from core.people.roles import ROLES, SCOPES
from core.people.sign_ins import SignIns
from core.settings import Settings
from core.state.database import connect
from core.state.storage import open_storage

if TYPE_CHECKING:
    from core.commands.installation import Commands


def add_commands(commands: "Commands") -> None:
    """``people list``, ``add``, ``change``, ``switch-off``, ``switch-on``, ``code``, ``token``."""
    group = commands.add_parser("people", help="accounts, roles, groups and tokens")
    acts = group.add_subparsers(dest="act", required=True)
    list_ = acts.add_parser("list", help="all accounts")
    list_.set_defaults(run=_list)
    add = acts.add_parser("add", help="add an account; the password is asked for")
    add.add_argument("name")
    add.add_argument("--role", choices=ROLES, required=True)
    add.add_argument("--group", action="append", default=[], help="may be repeated")
    add.add_argument(
        "--password-stdin", action="store_true", help="read the password from standard input"
    )
    add.set_defaults(run=_add)
    change = acts.add_parser("change", help="change the role or the groups of an account")
    change.add_argument("name")
    change.add_argument("--role", choices=ROLES)
    change.add_argument("--group", action="append", help="may be repeated; replaces all")
    change.set_defaults(run=_change)
    for word, is_active in (("switch-off", False), ("switch-on", True)):
        switch = acts.add_parser(word, help="whether an account may sign in")
        switch.add_argument("name")
        switch.set_defaults(run=_switch, is_active=is_active)
    code = acts.add_parser("code", help="print a code with which somebody chooses a new password")
    code.add_argument("name")
    code.set_defaults(run=_code)
    token = acts.add_parser("token", help="print a new token of a service")
    token.add_argument("name")
    token.add_argument("--scope", action="append", choices=SCOPES, required=True)
    token.add_argument("--days", type=int, default=90, help=f"1 to {TOKEN_DAYS}")
    token.set_defaults(run=_token)


def _accounts(settings: Settings) -> tuple[Accounts, SignIns]:
    engine, storage = connect(settings.data_dir), open_storage(settings)
    kept = KeptPeople(engine, storage)
    kept.take_in()
    return Accounts(engine, kept.follow), SignIns(engine, on_change=kept.follow)


def _list(options: argparse.Namespace, settings: Settings) -> int:
    for account in _accounts(settings)[0].find():
        groups = ", ".join(sorted(account.groups)) or "-"
        state = "" if account.is_active else "\tswitched off"
        way = f"\tby {account.issuer}" if account.issuer else ""
        sys.stdout.write(f"{account.name}\t{account.role}\t{groups}{way}{state}\n")
    return 0


def _add(options: argparse.Namespace, settings: Settings) -> int:
    password = None if options.role == "service" else _password(options.password_stdin)
    accounts, _ = _accounts(settings)
    account = accounts.add(options.name, options.role, options.group, password)
    sys.stdout.write(f"Added {account.name}, {account.role}\n")
    return 0


def _change(options: argparse.Namespace, settings: Settings) -> int:
    accounts, _ = _accounts(settings)
    account = accounts.named(options.name)
    accounts.change(account.id, role=options.role, groups=options.group)
    return 0


def _switch(options: argparse.Namespace, settings: Settings) -> int:
    accounts, _ = _accounts(settings)
    accounts.change(accounts.named(options.name).id, is_active=options.is_active)
    return 0


def _code(options: argparse.Namespace, settings: Settings) -> int:
    accounts, _ = _accounts(settings)
    sys.stdout.write(f"{accounts.new_code(accounts.named(options.name).id)}\n")
    return 0


def _token(options: argparse.Namespace, settings: Settings) -> int:
    accounts, sign_ins = _accounts(settings)
    account = accounts.named(options.name)
    sys.stdout.write(f"{sign_ins.new_token(account.id, options.scope, options.days)}\n")
    return 0


def _password(from_stdin: bool) -> str:
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    password = getpass.getpass("Password: ")
    if getpass.getpass("Once more: ") != password:
        raise InputError("The passwords differ", "Type them again.", code="bad_password")
    return password
