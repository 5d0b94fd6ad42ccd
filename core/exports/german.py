"""Findings, and reasons of a change, in German for the report: the program has them in English."""

import re

_SIDES = {"earlier": "früheren", "later": "späteren"}
# Each pattern is a whole reason of `core.measures.change`.
_REASONS: tuple[tuple[str, str], ...] = (
    ("one scan is a whole head, the other a crop", "ein Bild zeigt den Kopf, das andere einen "
     "Ausschnitt"),
    (r"the scans were segmented by different model versions \((.+)\)",
     "die Bilder wurden mit verschiedenen Modell-Versionen segmentiert ({0})"),
    (r"the voxels differ \((.+)\)", "die Voxel sind verschieden ({0})"),
    ("both masks were corrected by hand", "beide Masken wurden von Hand korrigiert"),
    ("one mask was corrected by hand", "eine Maske wurde von Hand korrigiert"),
    (r"the masks of the (earlier|later) scan are unreliable",
     "die Masken des {0} Bildes sind unzuverlässig"),
    (r"volumes of the (earlier|later) scan come out too small: .+",
     "die Volumina des {0} Bildes werden zu klein gemessen (Bildrand oder grobe Voxel)"),
    (r"the masks of the (earlier|later) scan should be checked",
     "die Masken des {0} Bildes sind zu prüfen"),
    (r"the day of a scan is not known.+", "der Tag eines Bildes ist nicht bekannt, also auch "
     "nicht, welches das frühere ist"),
    (r"which side a crop shows is not known.+", "die Seite eines Ausschnitts ist nicht bekannt: "
     "ansehen, ob beide denselben Hippocampus zeigen"),
)  # fmt: skip

# What a finding's code means.
FINDINGS = {
    "anisotropic": "Die Schichten sind dick gegenüber ihren Bildpunkten.",
    "anterior_fragmented": "Der vordere Anteil zerfällt in mehrere Stücke.",
    "anterior_missing": "Ein vorderer Anteil wurde nicht gefunden.",
    "brain_cut": "Das Bild endet im Gehirn: der Anteil am Gehirn wird nicht berechnet.",
    "bytes_behind": "Hinter dem Bild standen fremde Daten; sie wurden weggelassen.",
    "check": "Die Maske ist zu prüfen.",
    "coarse": "Die Voxel sind grob: die Volumina werden zu klein gemessen.",
    "compressed_twice": "Die Datei ist doppelt komprimiert; sie wurde gelesen.",
    "contrast_not_t1": "Das Bild scheint nicht T1-gewichtet zu sein.",
    "contrast_agent": "Vor der Aufnahme wurde ein Kontrastmittel gegeben.",
    "field_of_view_narrow": "Der Ausschnitt ist enger als die des Trainings.",
    "field_of_view_wide": "Der Ausschnitt ist weiter als die des Trainings.",
    "length_long": "Der Hippocampus ist ungewöhnlich lang.",
    "length_short": "Der Hippocampus ist ungewöhnlich kurz.",
    "mask_empty": "Es wurde kein Hippocampus gefunden.",
    "not_finite_voxels": "Ungültige Voxelwerte wurden als Hintergrund gelesen.",
    "oblique": "Das Bild liegt schräg zu den Achsen des Patienten: Maske prüfen.",
    "orientation_conflict": "Zwei Angaben zur Lage widersprechen sich: Seiten prüfen.",
    "orientation_handled": "Die Achsen wurden für das Modell gedreht, die Maske zurück.",
    "orientation_unknown": "Die Lage im Patienten ist nicht angegeben: Seiten prüfen.",
    "posterior_fragmented": "Der hintere Anteil zerfällt in mehrere Stücke.",
    "posterior_missing": "Ein hinterer Anteil wurde nicht gefunden.",
    "spacing_conflict": "Die Datei nennt zwei Voxelgrößen.",
    "spacing_far_from_1mm": "Die Voxel weichen von 1 mm ab; das Bild wurde umgerechnet.",
    "touches_border": "Das Bild endet im Hippocampus: das Volumen ist zu klein gemessen.",
    "unit_unusual": "Die Längeneinheit der Datei ist ungewöhnlich.",
    "unlike_known": "Das Bild ist anders als alle, die hier bekannt sind: Maske prüfen.",
    "unreliable": "Die Maske ist unzuverlässig.",
    "volume_large": "Der Hippocampus ist ungewöhnlich groß.",
    "volume_small": "Der Hippocampus ist ungewöhnlich klein.",
}


def in_german(reason: str) -> str:
    """A reason in German; as it is where this table does not know it.

    >>> in_german("the voxels differ (1 x 1 x 1 and 2 x 2 x 2 mm)")
    'die Voxel sind verschieden (1 x 1 x 1 und 2 x 2 x 2 mm)'
    """
    for pattern, words in _REASONS:
        if found := re.fullmatch(pattern, reason):
            return words.format(
                *(_SIDES.get(part, part.replace(" and ", " und ")) for part in found.groups())
            )
    return reason
