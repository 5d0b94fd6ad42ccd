"""The limits of the web side, with the reason for each. Imports nothing of the project."""

# Requests that change something, by client: in the long run 20 a second, more than a script gets
# answered that sends one crop after another (HIPPOVIEW_REQUESTS_PER_MINUTE); and at once after a
# pause. Of other requests so many times as much: a page that is opened fetches a hundred files.
REQUESTS_PER_MINUTE, REQUESTS_AT_ONCE = 1200, 300
READS_TIMES = 10

# Bodies of requests. An uploaded scan holds a place until it is answered: those in the queue, and
# beside them two at work and some being sent. All of them together may declare ALL_BODIES_MIB.
BODIES_BESIDE_QUEUE = 4
ALL_BODIES_MIB = 2048
# Other bodies at the same time, and the largest drawn mask: labels of 512 x 512 x 512 voxels take
# some 0.3 MiB as gzip.
BODIES_AT_ONCE = 32
MAX_DRAWN_MIB = 16
# What a multipart body needs beside the file itself; also the limit of bodies without a file.
FORM_OVERHEAD_BYTES = 64 * 1024
# Parts of a form; ours have at most four.
MAX_FORM_FILES, MAX_FORM_FIELDS = 4, 16
# A body may pause this long, and after the first seconds must arrive at this rate on average: the
# slowest connection in use is some ten times as fast.
BODY_SILENCE_S = 20.0
BODY_GRACE_S = 30.0
BODY_LEAST_BYTES_S = 8 * 1024.0
# Files that the pages' uploaders take in at the same time (a browser sends six), what all of them
# may hold in memory, and how long an upload waits for its place.
PAGE_UPLOADS_AT_ONCE = 12
PAGE_UPLOADS_MIB = 1024
PAGE_UPLOAD_PATIENCE_S = 60.0
