"""People of one installation, with hashes that take a thousandth of the time."""

from argon2 import PasswordHasher

from core.people.accounts import Accounts
from core.people.acting import SERVER, Actor, acting_as
from core.people.sign_ins import SignIns
from core.state.database import connect

PASSWORD = "correct horse battery"
# As the real one, in a thousandth of the time.
CHEAP = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self):
        self.now_s = 1000.0

    def __call__(self):
        return self.now_s


class People:
    """Accounts and sign-ins over one database."""

    def __init__(self, folder):
        self.clock = Clock()
        self.engine = connect(folder)
        self.accounts = Accounts(self.engine)
        self.sign_ins = SignIns(self.engine, self.clock)

    def add(self, name, role, groups=(), password=PASSWORD):
        with acting_as(SERVER):
            return self.accounts.add(name, role, groups, password)

    def actor(self, name, role, groups=()):
        """Somebody new who has signed in."""
        account = self.add(name, role, groups, None if role == "service" else PASSWORD)
        return Actor(account.id, account.name, account.role, account.groups)
