"""Every limit, with the reason for its value. Imports nothing of the project."""

from dataclasses import dataclass

MIB = 1024 * 1024

# Size of an uploaded file: fits the largest volume uncompressed as float32 (512 MiB) with its
# header; as float64 it must be compressed. Streamlit keeps a page's uploads in memory.
MAX_UPLOAD_MIB = 520

# Voxels of the largest volume that is read: 512 x 512 x 512, the largest matrix of a scanner.
# Unpacked it is 256 MiB as int16 and 1 GiB as float64, on the disk.
MAX_VOXELS = 512**3

# Memory (MiB) that segmenting and storing a head of that size as int16 may take, beyond the server
# at rest. A test checks it, the Model page states it.
MAX_HEAD_MEMORY_MIB = 1.2 * 1024

# DICOM files of one export, and what a zip of them may unpack to: a study of some thousand images.
MAX_DICOM_FILES = 10_000
MAX_DICOM_MIB = 2048
# Private copies of scans on the disk at the same time, all together: four of the largest, or 256
# heads.
ALL_UNPACKED_MIB = 4096
# Rows or columns of a slice: twice the largest matrix of a scanner.
MAX_DICOM_MATRIX = 2048
# Fewest slices that may be a hippocampus's volume.
MIN_DICOM_SLICES = 8

# Voxels of a crop, which is held and resampled as a whole: 90 mm at 0.27 mm. Takes up to 1.4 GiB.
MAX_CROP_VOXELS = 36_000_000
# Bytes that may follow the voxels in a file; more, and the header does not fit the content.
MAX_TRAILING_BYTES = MIB

# How often a file may be compressed, gzip in gzip: some tools compress what is compressed already;
# more layers than that are an attack.
MAX_GZIP_LAYERS = 2
# Bytes after a compressed file up to which they are a tool's mistake; more may be a second file.
FEW_BYTES_BEHIND = 1024
# Largest offset of the voxels: header plus extensions. Real extensions are some KiB.
MAX_VOXEL_OFFSET = 4 * MIB

# A voxel's edge in mm. Below 0.1 mm is microscopy, above 10 mm no hippocampus can be seen.
MIN_SPACING_MM = 0.1
MAX_SPACING_MM = 10.0

# The header's two voxel sizes may differ by this much in volume (per cent): rounding, and far less
# than what two scans of one person differ by.
VOLUME_CONFLICT_PERCENT = 0.5
# Columns of the affine may lean this much from a right angle (gantry tilt, registration).
MAX_SHEAR_DEG = 30.0

# The smallest and the largest crop of Task04 along each axis (right, anterior, superior).
# Outside it the model was never trained, and masks are measurably worse.
SMALLEST_TRAINED_MM = (31.0, 40.0, 24.0)
LARGEST_TRAINED_MM = (43.0, 59.0, 47.0)

# A scan with more than this along an axis is treated as a head.
MAX_CROP_MM = 90.0
# If the localiser's highest heat of a side is below this, there is no hippocampus on that side.
LEAST_PEAK = 0.15

# How much brighter white matter is than grey in a T1-weighted head and crop at least: the
# difference of their median ranks (`core.image.contrast`). Sound heads and their copies with other
# gain, gamma, bias and noise have 0.16 and more, inverted ones and copies like T2 and FLAIR mostly
# less than 0; crops 0.16 (of 220 cut to 26 mm, else 0.27) and more, inverted ones -0.26 and less.
LEAST_HEAD_CONTRAST = 0.12
LEAST_CROP_CONTRAST = 0.15
# A crop that ends within the hippocampus shows less of what is compared: of 1,320 such copies of
# 55 crops of Task04 that lost 5 to 30 % the lowest has -0.21.
LEAST_CUT_CROP_CONTRAST = -0.24

# If centring moved a crop this far (mm) from the localiser's detection, both centres are tried.
SECOND_LOOK_MM = 3.0

# Cuts of each side of a head that trains: one at its labels' centre, the others moved, turned and
# scaled by up to these: the localiser's own places, axes and scales are off by 3.1 mm, 1.5 degrees
# and 2.6 % in nine heads of ten (benchmarks/head_crops.py).
HEAD_CUTS = 3
HEAD_CUT_MM = 3.0
HEAD_CUT_DEG = 1.5
HEAD_CUT_SCALE = 0.025

# Share of a side's labels that must lie in its crop, or something else is labelled as well.
LEAST_IN_CROP = 0.9


@dataclass(frozen=True)
class HeadLimits:
    """Past which values the masks of a whole head reach a level of doubt.

    Attributes
    ----------
    most_off_mm : float
        Median distance of the brain's voxels from where the template has them
        (`core.predictor.localiser.Location`).
    least_peak : float
        The localiser's heat at a side.
    most_moved_mm : float
        From where a side was looked for to where its mask lies.
    least_agreement : float
        Dice of the masks of two crops.
    least_mm3, most_mm3 : float
        Volume of one side, in a head of the template's size: past it the search may have found
        something else. PLAUSIBLE_TOTAL_MM3 is about the person, and asks of every mask.
    most_asymmetry : float
        Difference of the two sides' volumes against their mean.
    least_apart_mm, most_apart_mm : float
        From one side to the other, in a head of the template's size.
    """

    most_off_mm: float
    least_peak: float
    most_moved_mm: float
    least_agreement: float
    least_mm3: float
    most_mm3: float
    most_asymmetry: float
    least_apart_mm: float
    most_apart_mm: float


# What makes the masks of a whole head unreliable, and what asks for a look. Set on heads and their
# transforms: benchmarks/whole_head.py.
HEAD_UNRELIABLE = HeadLimits(
    most_off_mm=10.0, least_peak=0.3, most_moved_mm=8.0, least_agreement=0.7,
    least_mm3=800.0, most_mm3=9000.0, most_asymmetry=0.8,
    least_apart_mm=35.0, most_apart_mm=75.0,
)  # fmt: skip
HEAD_CHECK = HeadLimits(
    most_off_mm=8.0, least_peak=0.5, most_moved_mm=5.0, least_agreement=0.86,
    least_mm3=1500.0, most_mm3=7000.0, most_asymmetry=0.4,
    least_apart_mm=42.0, most_apart_mm=66.0,
)  # fmt: skip

# Expected overlap with an expert's mask (whole hippocampus, Dice) below which a mask asks for a
# look, and below which it is unreliable: `python -m core calibrate` prints what each flags.
CHECK_BELOW_DICE, UNRELIABLE_BELOW_DICE = 0.80, 0.65

# Dice of a drawn mask with the model's own from which the model's doubts stay: up to 120 of 3,000
# mm3 added or removed, less than two experts differ by (decision 0043).
HARDLY_CHANGED_DICE = 0.98

# A mask that ends this near to the image's end counts as cut off: CUT_WITHIN_MM, and CUT_BLUNT_MM
# times its bluntness, which is the thickest section within BLUNT_WITHIN_MM of its end, relative to
# the thickest of all. Set on Task04 and heads, cut and complete: benchmarks/cut_scans.py, decision
# 0019.
CUT_WITHIN_MM = 1.75
CUT_BLUNT_MM = 3.0
BLUNT_WITHIN_MM = 2.5
# A head's mask also counts as cut off where more than this share of a side's crop lies outside of
# the image: 0 in complete heads, 0.05 and more in those that lost 5 % (the same benchmark).
CUT_WINDOW_SHARE = 0.03

# Voxels longer than this (mm, from left to right, from behind to front, from below to above) make
# volumes too small. From below to above resampled heads lost up to 40 % at 5 mm and
# 9 % at 3.5 mm, softened ones 15 % at 2.5 mm, real ones half at 3 mm; from behind to front up to
# 9 % at 5 mm; from left to right they lost nothing up to 5 mm: benchmarks/coarse_scans.py,
# decision 0019.
COARSE_MM = (5.5, 3.5, 2.25)
# So do voxels of a crop larger than this: cubes of 2.25 mm lost up to 12 %, of 2 mm up to 9 %. In
# heads cubes of 2.5 mm lost 6 % at most: their crops are resampled to 1 mm anyway.
COARSE_CROP_MM3 = 10.0

# Size of a head relative to the template, clipped to this to estimate the distance between the two
# hippocampi: children's and adults' heads. A frame that does not fit may have any size.
HEAD_SCALES = (0.85, 1.2)

# A hippocampus is about 40 mm long and 12 mm thick: a thinner slab cannot show one.
MIN_EXTENT_MM = 10.0
# Fewest voxels along an axis that still make a volume.
MIN_AXIS_VOXELS = 4
# A spacing outside this range (mm), or edges that differ by more than this factor, is far
# from the 1 mm isotropic voxels of the training data.
NEAR_SPACING_MM = (0.6, 1.6)
ANISOTROPY_RATIO = 1.5
# The scan's axes against the patient's: past this the anatomy is seen tilted.
OBLIQUE_WARNING_DEG = 15.0

# Total volume of one hippocampus (mm3) in adults, with room for atrophy and protocols.
PLAUSIBLE_TOTAL_MM3 = (1500.0, 7000.0)
# Share of the template's brain that must lie within a head's image, or the hippocampi's share of
# the brain is not computed (benchmarks/seen.py): 0.999 and more in 25 complete heads; of 84 images
# that end within it, shares 42 % too large at 0.73, 10 % at 0.985, up to 5 % from 0.99 on.
LEAST_BRAIN_SEEN = 0.99

# Above this share of voxels of one value a mask lies where the image shows nothing: something was
# cut out or masked there.
BLANK_SHARE = 0.5
# Size of an adult's head relative to the template, in length: 0.85 to 0.96 in 25 real heads. Limits
# of size are scaled with the head, so that a child's hippocampus is not called small.
ADULT_SCALE = 0.9

# Its length (mm) along the longest axis: 34 to 51 mm in masks of 25 real heads, brought to the
# template's size, 38 to 53 mm in the 220 crops of Task04 as experts drew them.
PLAUSIBLE_LENGTH_MM = (25.0, 60.0)

# A second piece of a label is called a fragment if it is larger than this share of the label.
FRAGMENT_SHARE = 0.02

# Share of voxels that may be NaN or infinite: the background of a skull-stripped head is 80 to 90 %
# of it; above this, too little is left.
MAX_NOT_FINITE_SHARE = 0.99

# Larger values are treated as not finite: their sums overflow in float32. They come from a wrong
# header.
LARGEST_VALUE = 1e30

# A file with so few distinct values is a label map.
LABEL_MAP_MAX_VALUES = 8
# Up to this many it may be one, and is if this share of neighbouring voxels have equal values.
LABEL_MAP_SUSPECT_VALUES = 512
LABEL_MAP_EQUAL_NEIGHBOURS = 0.5
# Voxels of a slab that is checked for that, and most slabs of a head that are: the first that is
# clearly a scan's ends the search.
LABEL_MAP_SLAB_VOXELS = 1_000_000
LABEL_MAP_SLABS = 9

# Voxels that the viewer shows, 330 x 330 x 330; larger scans are reduced for it. The graphics card
# holds scan and labels in 4 bytes a voxel each, the page 3 to 5 bytes more: 0.4 GiB.
MAX_VIEWER_VOXELS = 36_000_000

# Disk space for the cases that people look at: unpacked scans and the browser's files. A head takes
# 40 MiB, one of 512 x 512 x 512 half a GiB.
MAX_VIEWER_CACHE_BYTES = 2048 * MIB

# Requests that may wait for one device before the next is refused.
DEFAULT_QUEUE_SIZE = 16

# Kept free on the disk for masks, records and the database of what is segmented already.
KEEP_FREE_MIB = 256

# Days that a deleted case can still be restored.
TRASH_DAYS = 7

# Characters of a case's name.
MAX_NAME_CHARS = 120

# Characters of a reviewer's comment on a mask: a few sentences.
MAX_COMMENT_CHARS = 1000

# Drafts of one browser on one case: one for each page that has the case open, and no more than a
# person can keep track of.
MOST_DRAFTS = 4

# Hours after which files of a case without a record are leftovers of an interrupted write.
STRAY_HOURS = 24

# Seconds between two removals of deleted cases, and between two passes over all cases of the
# storage; after a failure the first and the longest wait before the next.
PURGE_EVERY_S = 3600.0
CARE_EVERY_S = 24 * 3600.0
CARE_RETRY_S = (30.0, 600.0)
# The same for rows that may be older than their records: somebody may be looking at them.
SETTLE_RETRY_S = (2.0, 60.0)

# Random ids that are tried for a new case: even with a million cases one in a thousand is taken.
MAX_ID_TRIES = 8

# Addresses whose wrong passwords are remembered: about a megabyte.
MAX_ADDRESSES = 5000

# A browser session that was disconnected for so long is over, and its waiting files are dropped:
# a failed network, or a computer asleep during a coffee break, is back earlier.
BATCH_GONE_AFTER_S = 900.0

# A server looks so often whether the storage names another version in service than its database: a
# command that was killed between the two left it so. One listing and one small file a look.
SERVICE_LOOK_EVERY_S = 60.0

# A training sends a heartbeat every few seconds; silent for longer than LOST_AFTER_S, it is lost.
HEARTBEAT_S = 5.0
LOST_AFTER_S = 120.0
# Without progress for so long it has stalled, although it sends heartbeats: the longest step, an
# iteration on a busy CPU or one file from a bucket, takes seconds. It is restarted so many times.
STALLED_AFTER_S = 300.0
MAX_RESTARTS = 2
# A worker that was killed says nothing: its training is taken from it after so many seconds without
# a heartbeat (HIPPOVIEW_LEASE_S), and so often in a row without an epoch.
LEASE_S = 60
MAX_TAKEOVERS = 5
# After writing a checkpoint into the storage a training rests for so many times as long: it takes
# a twentieth of the time at most.
CHECKPOINT_REST = 20

# Days after its last change until the folder of a training without a job is removed: a lost
# database may be restored from a backup meanwhile.
JOB_FOLDER_DAYS = 7

# Fewest cases of a data set: fewer cannot be divided into a test set and folds.
MIN_DATASET_CASES = 10

# Share of a data set that is frozen as its test set, and the fewest cases in it.
TEST_SHARE = 0.15
MIN_TEST_CASES = 3

# A mask of a head that nothing flags and that overlaps the reference by less (Dice) counts as
# missed: it is of something else.
HEAD_MISSED_DICE = 0.3

# Synthetic heads that every new version is tested on (HIPPOVIEW_TEST_HEADS), and most: each takes
# two seconds to make and two or three for each version, on one processor.
TEST_HEADS, MOST_TEST_HEADS = 8, 100

# Test cases that a version is timed on against the one in service, and how often at most. The
# rounds end when so many in a row made no shortest time shorter by more than 1 %: four on a quiet
# machine, more on a busy one.
LATENCY_CASES, LATENCY_ROUNDS = 10, 20
LATENCY_CALM_ROUNDS, LATENCY_SAME = 3, 0.99

# Largest uploaded archive of a data set (it is held in memory), and largest unpacked size.
MAX_ARCHIVE_MIB, MAX_UNPACKED_MIB = 1024, 8192

# Evaluations that are kept of a version, the newest: each set of reviewed cases adds some.
MAX_EVALUATIONS = 20
# Fewest cases in a drift window, and in its reference.
MIN_DRIFT_CASES = 10
# Most cases that are accepted as the new normal: more make thresholds hardly lower.
MOST_NORMAL_CASES = 300

# The gate before a promotion (`core.training.evaluation.verdict.Margins`, decision 0029). What the
# new version's mean Dice on crops may lie below the old one's: less than the 0.006 that the best
# recipe of decision 0014 gained.
GATE_DICE = 0.005
# A fall of one label's Dice in one case that a reader would see.
GATE_COLLAPSE = 0.1
# Of the mean HD95 (mm): a fifth of a crop's voxel.
GATE_HD95_MM = 0.2
# Of the mean Dice of whole heads, which are fewer and coarser than crops. It stops a recipe of
# decision 0014 that lost 0.035.
GATE_HEADS_DICE = 0.02
# Of the mean volume error of whole heads, in per cent: about what an ageing hippocampus loses in
# a year or two.
GATE_VOLUME_PERCENT = 2.0
# Dice from which on a reference is a version's own mask, as it was accepted: one that a person drew
# over in a few voxels of 2,000 has less.
GATE_OWN_DICE = 0.999
# Of the time that a scan takes.
GATE_TIMES = 1.2
# Patients with crops, whole heads, and timed scans that it takes to tell: the interval of fewer
# patients is too narrow, since a bootstrap knows only those that it has.
GATE_PATIENTS, GATE_HEADS, GATE_TIMED = 10, 5, 3
# Characters of the reason for promoting what the gate stopped: more than "ok", a few sentences.
MIN_REASON_CHARS, MAX_REASON_CHARS = 10, 1000

# Accepted heads that later heads are compared with, where the training had none: of 20 against 50
# one feature of sixteen counts from a distance of about 0.48 on. And seconds between two looks.
BASELINE_HEADS, BASELINE_EVERY_S = 50, 60.0
# Cases until a false drift alarm, on average (HIPPOVIEW_DRIFT_RUN_LENGTH), the fewest and the most:
# of fewer the alarm would be a habit, of more the simulation would take minutes.
DRIFT_RUN_LENGTH, LEAST_RUN_LENGTH, MOST_RUN_LENGTH = 500, 100, 5000

# Voxels of a scan that is handed to a shadow: a head of 256 x 256 x 256 is, one of 512 x 512 x 512
# is not, whose labels alone take 128 MiB. So many scans may wait, so often one is begun again
# after somebody came, and so long nobody may have come before one is begun.
MAX_SHADOW_VOXELS = 24_000_000
MAX_SHADOW_WAITING, MAX_SHADOW_TRIES, SHADOW_QUIET_S = 3, 3, 1.0
# Scans in a row that a shadow fails on before it is switched off.
MAX_SHADOW_FAILURES = 3
# Figures that are kept of each shadow: of a head one a side.
MAX_SHADOW_ROWS = 1000

# Newest cases whose drift a rule looks at, as the Drift page does when it is opened; and seconds
# between two looks.
RULE_DRIFT_CASES, RULES_EVERY_S = 20, 300.0

# The PACS: seconds until it is reached, and in which it must send something. What a series may
# have: 512 x 512 x 512 voxels of 16 bits take 256 MiB, and multi-echo series a few times that.
PACS_CONNECT_S, PACS_ANSWER_S = 5.0, 60.0
PACS_SERIES_BYTES, PACS_FILES = 2048 * MIB, 5000
# The receiver's memory, three times as much while it stores: of a file (512 x 512 x 512 voxels and
# a header), of all, of a PDU (16 KiB are usual); and what is parsed of a file: its begin.
RECEIVED_FILE_BYTES, RECEIVED_BYTES, RECEIVED_PDU_BYTES = 300 * MIB, 600 * MIB, MIB
RECEIVED_HEAD_BYTES = 2 * MIB
# Studies and series that a list shows, and an answer in JSON: 5,000 files take 5 MB.
PACS_STUDIES, PACS_SERIES = 100, 500
PACS_ANSWER_BYTES = 32 * MIB
