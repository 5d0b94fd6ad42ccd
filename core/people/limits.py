"""The limits of signing in, each with its reason; the others are in `core.limits`."""

# Characters that a password has at least (NIST SP 800-63B asks for 15 where it is the only factor;
# guessing is slowed down as well), and at most: more are a way to keep the server busy.
SHORT_PASSWORD_CHARS = 12
LONGEST_PASSWORD_CHARS = 200
# Different characters in it: fewer are a key that was held down.
LEAST_DIFFERENT_CHARS = 5

# Hours that a sign-in lasts: a working day. Minutes without a click after which it ends before.
SESSION_HOURS = 10
SESSION_IDLE_MIN = 60
# The last click is written down once in so many seconds: a write for each is too much.
SESSION_SEEN_S = 60

# Hours that a code for a new password lasts: a person hands it over.
CODE_HOURS = 72
# Days that a service's token lasts at most: one that is forgotten ends.
TOKEN_DAYS = 366

# Wrong passwords within a minute before sign-in pauses for that address, or that known browser.
MAX_WRONG_PASSWORDS = 10
# Wrong passwords for one account within a minute, from wherever, after which an address pauses at
# `WRONG_UNDER_ATTACK` of its own. Its owner's first try, from elsewhere, is never refused.
MAX_WRONG_FOR_ACCOUNT = 30
WRONG_UNDER_ATTACK = 1
# Passwords hashed at a time, since each takes 64 MiB and all may take 100; and most that wait or
# are being hashed, since each holds one of the 40 threads that answer requests.
HASHES_AT_ONCE = 1
MAX_HASHES_WAITING = 16
# Places in that line for browsers that are known: a crowd of strangers who keep it full locks out
# nobody who has signed in before.
MORE_FOR_KNOWN = 8

# Seconds until a further line about the same refusal of the same account, doubled each time up to
# an hour: in a day at most some thirty lines of each kind, whatever is tried.
REFUSED_AGAIN_S, REFUSED_LONGEST_S = 60.0, 3600.0
# Of those who have not signed in, so many addresses and accounts have lines of their own within an
# hour; the others are counted together, since addresses cost an attacker nothing.
MAX_REFUSED_STRANGERS, REFUSED_STRANGERS_WITHIN_S = 60, 3600.0

# Seconds for connecting to a sign-in provider, and for one whole answer of it: somebody waits. Its
# answers are a list of addresses, keys and a token: kilobytes, of somebody in many groups 100.
PROVIDER_CONNECT_S = 5
PROVIDER_ANSWER_S = 10
PROVIDER_ANSWER_BYTES = 1024 * 1024
# Questions to it at a time; each that it leaves unanswered holds a thread.
PROVIDER_CALLS_AT_ONCE = 8
# Minutes that a sign-in at the provider may take: a password, and a telephone with a second factor.
PROVIDER_SIGN_IN_MIN = 10
# Seconds for which its addresses and keys are remembered, and after which an unknown key is asked
# for again: it may have a new one at any time.
PROVIDER_KEPT_S = 3600
PROVIDER_KEYS_AGAIN_S = 60
# Seconds that its clock and ours may differ.
PROVIDER_CLOCK_S = 60
# Characters of a subject at most (OpenID Connect Core 2), and of a code and an address.
MOST_SUBJECT_CHARS = 255
MOST_PROVIDER_CHARS = 4096
