"""The report of a case as a DICOM Encapsulated PDF."""

from highdicom.base import SOPClass
from pydicom.uid import EncapsulatedPDFStorage, ExplicitVRLittleEndian

from core.anatomy import NOTICE
from core.cases.case import MODEL_MASK, Case, CaseImages
from core.cases.study import Study
from core.errors import NotFoundError
from core.exports.dicom import (
    MANUFACTURER,
    completed,
    description,
    file_bytes,
    software_versions,
    uid_of,
    written_at,
)
from core.exports.pdf import report_pdf
from core.image.dicom.origin import Origin

_SERIES_NUMBER = 8803


def no_origin(case_id: str) -> NotFoundError:
    """Why a case has no DICOM objects."""
    return NotFoundError(
        f"{case_id} has no DICOM objects: it came as NIfTI, or as files that name no study",
        "Segment the DICOM series itself. The PDF report and the mask can be had of any case.",
        code="no_origin",
    )


def pdf_file(origin: Origin, case: Case, images: CaseImages) -> bytes:
    """Write the report as an Encapsulated PDF (PS3.3 A.45.1), with the patient's name on the page.

    Date, sex and age are those of the case's page; where they were typed, the page says what the
    header has. A review, or a typed one of these, changes it, so that it is another instance.
    """
    first = completed(origin)[0]
    name = str(first.PatientName).replace("^", " ").strip()
    identity = "   ".join(
        f"{word} {value}"
        for word, value in (
            ("Patient", name), ("ID", first.PatientID), ("born", first.PatientBirthDate),
        ) if value
    )  # fmt: skip
    page = report_pdf(case, images, identity=identity)
    review, version = case.review, case.mask_version
    typed = Study(case.scan_date, case.sex, case.age_years)
    at = written_at(case)
    document = SOPClass(
        study_instance_uid=first.StudyInstanceUID,
        series_instance_uid=uid_of(origin, case, None, "pdf series"),
        series_number=_SERIES_NUMBER,
        sop_instance_uid=uid_of(
            origin,
            case,
            version,
            "pdf",
            review.state,
            review.reviewer,
            review.at,
            *(vars(typed).values() if typed != Study() else ()),
        ),
        sop_class_uid=EncapsulatedPDFStorage,
        instance_number=version + 1,
        modality="DOC",
        manufacturer=MANUFACTURER,
        transfer_syntax_uid=ExplicitVRLittleEndian,
        patient_id=first.PatientID,
        patient_name=first.PatientName,
        patient_birth_date=first.PatientBirthDate,
        patient_sex=first.PatientSex or None,
        accession_number=first.AccessionNumber,
        study_id=first.StudyID,
        study_date=first.StudyDate,
        study_time=first.StudyTime,
        referring_physician_name=first.ReferringPhysicianName,
        series_description=description("hippocampus report"),
        manufacturer_model_name=MANUFACTURER,
        software_versions=software_versions(case),
        device_serial_number="0",
        content_date=at.date(),
        content_time=at.time(),
        specific_character_set=first.get("SpecificCharacterSet"),
    )
    document.ConversionType = "WSD"
    document.BurnedInAnnotation = "YES"
    document.AcquisitionDateTime = ""
    replaced = f", in place of version {version - 1}" if version != MODEL_MASK else ""
    document.DocumentTitle = f"HippoView {case.id}, mask version {version}{replaced}. {NOTICE}"
    document.ConceptNameCodeSequence = []
    document.MIMETypeOfEncapsulatedDocument = "application/pdf"
    document.EncapsulatedDocumentLength = len(page)
    document.EncapsulatedDocument = page + b"\0" * (len(page) % 2)
    return file_bytes(document, case)
