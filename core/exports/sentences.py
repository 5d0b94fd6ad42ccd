"""Every sentence of the PDF report, by language; a language is added by a column of this table.

A finding's words come from where it was found, in English. Other languages say here what its code
means, and quote the English words, which hold the figures.
"""

from typing import Any, Literal

from core.exports.german import FINDINGS, in_german
from core.references.words import ordinal
from core.wording import minus

Language = Literal["en", "de"]
LANGUAGES: dict[Language, str] = {"en": "English", "de": "Deutsch"}

# Groups of three digits are parted in German by a narrow space: a point would read as a decimal
# sign where English reports lie beside.
_MARKS: dict[Language, tuple[str, str]] = {
    "en": (",", "."),
    "de": ("\N{NARROW NO-BREAK SPACE}", ","),
}

_SENTENCES: dict[str, dict[Language, str]] = {
    "title": {"en": "Hippocampus volumes", "de": "Hippocampus-Volumetrie"},
    "notice": {
        "en": "Research use only. Not for diagnosis.",
        "de": "Nur für Forschungszwecke, nicht zur Diagnose.",
    },
    "page": {"en": "Page {number} of {{nb}}", "de": "Seite {number} von {{nb}}"},
    # Whose scan
    "patient": {"en": "Patient", "de": "Patient"},
    "no_patient": {"en": "not given", "de": "keine Angabe"},
    "sex": {"en": "sex {sex}", "de": "Geschlecht {sex}"},
    "F": {"en": "female", "de": "weiblich"},
    "M": {"en": "male", "de": "männlich"},
    "O": {"en": "other", "de": "divers"},
    "age": {"en": "{years} years old at the scan", "de": "{years} Jahre alt bei der Untersuchung"},
    "scanned": {"en": "scanned on {date}", "de": "Untersuchung vom {date}"},
    # Facts
    "case": {"en": "Case", "de": "Fall"},
    "segmented": {"en": "{case}, segmented {at}", "de": "{case}, segmentiert am {at}"},
    "scan": {"en": "Scan", "de": "Bild"},
    "grid": {
        "en": "{shape} voxels of {spacing} mm, axes {axes}",
        "de": "{shape} Voxel zu {spacing} mm, Achsen {axes}",
    },
    "mask": {"en": "Mask", "de": "Maske"},
    "own_mask": {"en": "version 0, the model's own", "de": "Version 0, vom Modell selbst"},
    "drawn_mask": {
        "en": "version {version}, drawn by {author}, in place of version {before}",
        "de": "Version {version}, gezeichnet von {author}, anstelle von Version {before}",
    },
    "review": {"en": "Review", "de": "Prüfung"},
    "reviewed": {"en": "{state} by {who}, {at}", "de": "{state} von {who}, {at}"},
    "not_reviewed": {"en": "not reviewed by anybody", "de": "von niemandem geprüft"},
    "unnamed": {"en": "unnamed", "de": "ohne Namen"},
    "new": {"en": "new", "de": "neu"},
    "accepted": {"en": "accepted", "de": "angenommen"},
    "corrected": {"en": "corrected", "de": "korrigiert"},
    "rejected": {"en": "rejected", "de": "abgelehnt"},
    # The numbers
    "left": {"en": "Left", "de": "Links"},
    "right": {"en": "Right", "de": "Rechts"},
    "both": {"en": "Both", "de": "Beide"},
    "total": {"en": "Total", "de": "Gesamt"},
    "anterior": {"en": "Anterior", "de": "Vorderer Anteil"},
    "posterior": {"en": "Posterior", "de": "Hinterer Anteil"},
    "small_anterior": {"en": "anterior", "de": "vorn"},
    "small_posterior": {"en": "posterior", "de": "hinten"},
    "side": {"en": "Side", "de": "Seite"},
    "unknown_side": {"en": "unknown on a crop", "de": "im Ausschnitt unbekannt"},
    "not_found": {"en": "not found", "de": "nicht gefunden"},
    "asymmetry": {"en": "Asymmetry", "de": "Asymmetrie"},
    "asymmetry_small": {"en": "(L \N{MINUS SIGN} R) / mean", "de": "(L \N{MINUS SIGN} R) / Mittel"},
    "needs_both": {"en": "needs both sides", "de": "nur bei beiden Seiten"},
    "left_larger": {"en": "left larger", "de": "links größer"},
    "right_larger": {"en": "right larger", "de": "rechts größer"},
    "interval": {
        "en": "{percent} % interval {low} to {high} mm³",
        "de": "{percent}-%-Intervall {low} bis {high} mm³",
    },
    "share_of_brain": {"en": "{percent} % of the brain", "de": "{percent} % des Gehirns"},
    "anterior_share": {"en": "{percent} % anterior", "de": "{percent} % vorn"},
    "too small": {"en": "too small", "de": "zu klein gemessen"},
    "not checked": {"en": "not checked", "de": "nicht geprüft"},
    # How far they can be trusted
    "confidence": {"en": "Confidence", "de": "Konfidenz"},
    "high": {
        "en": "high: both sides passed every check",
        "de": "hoch: beide Seiten haben jede Prüfung bestanden",
    },
    "high_drawn": {
        "en": "high of the model's own masks, which passed every check; a person has drawn on them",
        "de": "hoch für die Masken des Modells, die jede Prüfung bestanden; eine Person hat darin "
        "gezeichnet",
    },
    "high_crop": {
        "en": "high: the mask passed every check",
        "de": "hoch: die Maske hat jede Prüfung bestanden",
    },
    "high_beside": {
        "en": "high: the masks passed every check, but the scan has a warning; see below",
        "de": "hoch: die Masken haben jede Prüfung bestanden, zum Scan gibt es jedoch eine Warnung "
        "(siehe unten)",
    },
    "check": {
        "en": "check: look at the masks before you use them",
        "de": "prüfen: die Masken vor der Verwendung ansehen",
    },
    "unreliable": {
        "en": "unreliable: do not use these masks as they are",
        "de": "unzuverlässig: die Masken so nicht verwenden",
    },
    "not_judged": {
        "en": "not judged: a crop around one hippocampus",
        "de": "nicht beurteilt: Ausschnitt um einen Hippocampus",
    },
    "expected": {
        "en": "Expected overlap with an expert's mask (Dice, 1 is the same): {sides}",
        "de": "Erwartete Übereinstimmung mit der Maske eines Experten (Dice, 1 ist gleich): "
        "{sides}",
    },
    "not_expected": {
        "en": "Expected overlap with an expert's mask: none, {reason}",
        "de": "Erwartete Übereinstimmung mit der Maske eines Experten: keine Angabe ({reason})",
    },
    "a person drew this mask": {
        "en": "a person drew this mask", "de": "ein Mensch hat diese Maske gezeichnet",
    },
    "what_interval": {
        "en": "The volume that an expert would measure lies in the interval for {percent} % of "
        "such masks.",
        "de": "Das Volumen, das ein Experte messen würde, liegt bei {percent} % solcher Masken im "
        "Intervall.",
    },
    "warning": {"en": "Warning", "de": "Warnung"},
    "note": {"en": "Note", "de": "Hinweis"},
    "in_english": {"en": "{words}", "de": "{meaning} (Englisch: „{words}“)"},
    "more_findings": {
        "en": "{count} more: see the next page.", "de": "{count} weitere: siehe nächste Seite.",
    },
    "still_more_findings": {
        "en": "{count} more stand on the case's page.",
        "de": "{count} weitere stehen auf der Seite des Falls.",
    },
    # Beside a reference group
    "compared": {
        "en": "Compared with the reference group {group}, n = {count}",
        "de": "Verglichen mit der Referenzgruppe {group}, n = {count}",
    },
    "place_at": {
        "en": "at the {percentile} percentile ({low} to {high})",
        "de": "{percentile} Perzentil ({low} bis {high})",
    },
    "place_below": {
        "en": "below the {edge} percentile", "de": "unter dem {edge} Perzentil",
    },
    "place_above": {
        "en": "above the {edge} percentile", "de": "über dem {edge} Perzentil",
    },
    "end_below": {"en": "below the {edge}", "de": "unter dem {edge}"},
    "end_above": {"en": "above the {edge}", "de": "über dem {edge}"},
    "up_to": {"en": "(up to the {edge})", "de": "(bis zum {edge})"},
    "down_to": {"en": "(down to the {edge})", "de": "(bis zum {edge})"},
    "same": {"en": "same protocol", "de": "gleiches Protokoll"},
    "other_protocol": {
        "en": "protocol {group_by}: not comparable without conversion",
        "de": "Protokoll {group_by}: ohne Umrechnung nicht vergleichbar",
    },
    "other_version": {
        "en": "model version {group_by}, this case {case_by}: not comparable without conversion",
        "de": "Modell-Version {group_by}, dieser Fall {case_by}: ohne Umrechnung nicht "
        "vergleichbar",
    },
    "unknown_version": {
        "en": "same protocol, model version not known",
        "de": "gleiches Protokoll, Modell-Version unbekannt",
    },
    "drawn": {
        "en": "same protocol, this mask drawn by a person",
        "de": "gleiches Protokoll, diese Maske von einem Menschen gezeichnet",
    },
    "is_member": {
        "en": "This case is itself one of the group.",
        "de": "Dieser Fall gehört selbst zur Gruppe.",
    },
    "F_curves": {"en": "women", "de": "Frauen"},
    "M_curves": {"en": "men", "de": "Männer"},
    "of_all": {
        "en": "{same} {people} (estimated from all {count}, with the sex taken into account)",
        "de": "{same} {people} (geschätzt aus allen {count}, das Geschlecht berücksichtigt)",
    },
    "by_age": {
        "en": "{measure}, ml, by age in years", "de": "{measure}, ml, nach Alter in Jahren",
    },
    "curves": {
        "en": "In brackets the {percent} % interval of the percentile, for the size of the group. "
        "Curves: 5th, 25th, 50th, 75th and 95th percentile of the {people} of the group by age in "
        "years; ml; the diamond is this person.",
        "de": "In Klammern das {percent}-%-Intervall des Perzentils, nach der Größe der Gruppe. "
        "Kurven: 5., 25., 50., 75. und 95. Perzentil der {people} der Gruppe nach Alter in Jahren; "
        "ml; die Raute ist diese Person.",
    },
    # From scan to scan
    "change": {"en": "Change since {day} ({case})", "de": "Veränderung seit {day} ({case})"},
    "change_is": {
        "en": "{side}: {earlier} ml to {later} ml, {percent} %",
        "de": "{side}: {earlier} ml auf {later} ml, {percent} %",
    },
    "change_interval": {"en": "95 % interval {low} % to {high} %",
                        "de": "95-%-Intervall {low} % bis {high} %"},
    "a_year": {"en": "{percent} % a year", "de": "{percent} % im Jahr"},
    "within what the method varies by": {
        "en": "within what the method varies by", "de": "im Bereich, in dem die Methode schwankt",
    },
    "smaller by more than the method varies by": {
        "en": "smaller by more than the method varies by",
        "de": "kleiner, um mehr als die Methode schwankt",
    },
    "larger by more than that": {
        "en": "larger by more than the method varies by",
        "de": "größer, um mehr als die Methode schwankt",
    },
    "not judged": {"en": "not judged", "de": "nicht beurteilt"},
    "not_comparable": {
        "en": "Not comparable without looking: {reason}.",
        "de": "Nicht ohne Ansehen vergleichbar: {reason}.",
    },
    "caution": {
        "en": "Before a change is believed: {reason}.",
        "de": "Bevor einer Veränderung geglaubt wird: {reason}.",
    },
    "not_measured": {
        "en": "How far this version's volumes differ from scan to scan with such voxels was not "
        "measured.",
        "de": "Wie weit die Volumina dieser Version bei solchen Voxeln von Bild zu Bild schwanken, "
        "wurde nicht gemessen.",
    },
    "loss_found": {
        "en": "A loss may be larger than it looks: of hippocampi that were made 3 % smaller, "
        "{percent} % were found in the mean; the interval does not know of it.",
        "de": "Ein Verlust kann größer sein, als er aussieht: von um 3 % verkleinerten Hippocampi "
        "wurden im Mittel {percent} % gefunden; das Intervall weiß davon nichts.",
    },
    "scans_over_time": {
        "en": "Left (circles) and right (squares) in ml; grey: what the method varies by.",
        "de": "Links (Kreise) und rechts (Quadrate) in ml; grau: worin die Methode schwankt.",
    },
    "segmented_on": {"en": "segmented {day}", "de": "segmentiert {day}"},
    "dicom_says": {
        "en": "typed here; the DICOM header says {said}",
        "de": "hier eingegeben; laut DICOM-Kopf {said}",
    },
    # Pictures
    "coronal": {"en": "Coronal", "de": "Koronar"},
    "sagittal": {"en": "Sagittal", "de": "Sagittal"},
    "outlines": {
        "en": "Outlines: orange anterior, blue posterior. {convention}. Letters: R right, L left, "
        "A front, P back, S up, I down.",
        "de": "Umrisse: orange vorderer, blau hinterer Anteil. {convention}. Buchstaben: R rechts, "
        "L links, A vorn, P hinten, S oben, I unten.",
    },
    "radiological": {
        "en": "Radiological: the patient's right is on the left of the picture",
        "de": "Radiologisch: rechts am Patienten ist links im Bild",
    },
    "neurological": {
        "en": "Neurological: the patient's left is on the left of the picture",
        "de": "Neurologisch: links am Patienten ist links im Bild",
    },
    "slices": {
        "en": "Coronal and sagittal slices with the outlines of both labels",
        "de": "Koronare und sagittale Schichten mit den Umrissen beider Anteile",
    },
    "pane_left": {"en": "L   {mm} mm", "de": "L   {mm} mm"},
    "pane_right": {"en": "R mirrored   {mm} mm", "de": "R gespiegelt   {mm} mm"},
    "sides": {
        "en": "Both sides beside each other, the right one MIRRORED. Cut across the long axis of "
        "the hippocampi by the same planes; mm behind the front end.",
        "de": "Beide Seiten beieinander, die rechte GESPIEGELT. Schnitte quer zur Längsachse der "
        "Hippocampi in denselben Ebenen; mm hinter dem vorderen Ende.",
    },
    # Details
    "details": {"en": "Details", "de": "Einzelheiten"},
    "structure": {"en": "Structure", "de": "Struktur"},
    "voxels": {"en": "voxels", "de": "Voxel"},
    "interval_column": {
        "en": "{percent} % interval, mm³", "de": "{percent}-%-Intervall, mm³",
    },
    "length": {"en": "length, mm", "de": "Länge, mm"},
    "box": {"en": "box R, A, S, mm", "de": "Quader R, A, S, mm"},
    "dice": {"en": "expected Dice", "de": "erwarteter Dice"},
    "no_length": {
        "en": "In brackets: from one hippocampus to the other, which is no length.",
        "de": "In Klammern: von einem Hippocampus zum anderen, also keine Länge.",
    },
    "asymmetry_is": {
        "en": "Asymmetry, (L \N{MINUS SIGN} R) / mean of both",
        "de": "Asymmetrie, (L \N{MINUS SIGN} R) / Mittel beider",
    },
    "anterior_share_is": {"en": "Anterior share", "de": "Vorderer Anteil am Volumen"},
    "share_of_brain_is": {
        "en": "Share of the estimated brain volume", "de": "Anteil am geschätzten Hirnvolumen",
    },
    "brain_is": {"en": "Brain volume, estimated", "de": "Hirnvolumen, geschätzt"},
    "voxel_is": {"en": "Volume of a voxel", "de": "Volumen eines Voxels"},
    "spacing_is": {"en": "Voxel edges", "de": "Kanten eines Voxels"},
    "too_small_is": {"en": "Volumes", "de": "Volumina"},
    "findings": {"en": "Warnings and notes", "de": "Warnungen und Hinweise"},
    "method": {"en": "Method", "de": "Verfahren"},
    "how": {
        "en": "A 3-D U-Net (nnU-Net) marks the anterior and the posterior part of the hippocampus "
        "in the T1-weighted scan; of a whole head it is shown each side by itself. A volume is the "
        "count of the mask's voxels times the volume of a voxel. Left and right are the patient's.",
        "de": "Ein 3-D-U-Net (nnU-Net) markiert den vorderen und den hinteren Anteil des "
        "Hippocampus im T1-gewichteten Bild, beim ganzen Kopf jede Seite für sich. Ein Volumen ist "
        "die Zahl der Voxel der Maske mal dem Volumen eines Voxels. Links und rechts gelten für "
        "den Patienten.",
    },
    "computed": {"en": "Computed on {device}", "de": "Gerechnet auf {device}"},
    "model": {
        "en": "HippoView model version {version} ({name}), weights sha256 {sha256}",
        "de": "HippoView-Modell Version {version} ({name}), sha256 der Gewichte {sha256}",
    },
    "scan_hash": {"en": "Scan sha256 {sha256}", "de": "sha256 des Bildes {sha256}"},
}  # fmt: skip


class Sentences:
    """The sentences and numbers of one language.

    >>> Sentences("de")("age", years=44), Sentences("de").number(-1.44, 1)
    ('44 Jahre alt bei der Untersuchung', '\u22121,4')
    >>> Sentences("en").number(1234.56, 1, grouped=True)
    '1,234.6'
    """

    def __init__(self, language: Language) -> None:
        self.language: Language = language

    def __call__(self, sentence: str, /, **values: Any) -> str:
        """A sentence, with values in place of its braces."""
        return _SENTENCES[sentence][self.language].format(**values)

    def number(
        self, value: float, digits: int, *, grouped: bool = False, sign: bool = False
    ) -> str:
        """A number as this language writes it; ``sign`` also where it is positive.

        >>> Sentences("en").number(-0.04, 1)  # no minus before a zero
        '0.0'
        """
        text = f"{value:{'+' * sign}z{',' * grouped}.{digits}f}"
        between, point = _MARKS[self.language]
        return minus(text).translate({ord(","): between, ord("."): point})

    def ordinal(self, number: int) -> str:
        """A number as an ordinal.

        >>> Sentences("en").ordinal(8), Sentences("de").ordinal(8)
        ('8th', '8.')
        """
        return ordinal(number) if self.language == "en" else f"{number}."

    def day(self, day: str) -> str:
        """A day, ISO 8601, as this language writes it.

        >>> Sentences("en").day("2026-11-30"), Sentences("de").day("2026-11-30")
        ('2026-11-30', '30.11.2026')
        """
        return day if self.language == "en" else ".".join(reversed(day.split("-")))

    def reason(self, words: str) -> str:
        """Why a change is doubted (`core.measures.change`), in this language."""
        return words if self.language == "en" else in_german(words)

    def finding(self, code: str, message: str) -> str:
        """A finding's words; in other languages than English what it means as well."""
        meaning = FINDINGS.get(code) if self.language == "de" else None
        return self("in_english", words=message, meaning=meaning) if meaning else message

    def quoted(self, words: str) -> str:
        """Words that the program gives in English; translated where this table knows them."""
        known = _SENTENCES.get(words)
        return known[self.language] if known else words
