import numpy as np

from core.measures.landmarks import landmarks


def mask() -> np.ndarray:
    labels = np.zeros((12, 20, 12), np.uint8)
    labels[3:8, 10:16, 3:8] = 1
    labels[2:9, 12, 2:9] = 1  # the largest coronal section
    labels[3:6, 3:10, 3:6] = 2
    return labels


def test_the_largest_section_of_each_label_is_within_it():
    labels = mask()
    anterior, posterior = landmarks(labels)
    assert anterior.words == "Largest section of anterior"
    assert anterior.voxel == (5, 12, 5)
    assert anterior.axis == 1
    assert labels[anterior.voxel] == 1
    assert labels[posterior.voxel] == 2


def test_a_ring_is_met_on_the_ring_and_not_in_its_hole():
    labels = np.zeros((9, 3, 9), np.uint8)
    labels[1:8, 1, 1:8] = 1
    labels[3:6, 1, 3:6] = 0
    assert labels[landmarks(labels)[0].voxel] == 1


def test_fragments_follow_the_largest_first():
    labels = mask()
    labels[11, 0, 11] = 1
    labels[0, 0:2, 0] = 1
    found = landmarks(labels)
    assert [place.words for place in found[2:]] == [
        "Fragment of anterior, 2 voxels", "Fragment of anterior, 1 voxel",
    ]  # fmt: skip
    assert [labels[place.voxel] for place in found] == [1, 2, 1, 1]


def test_an_empty_mask_has_none():
    assert landmarks(np.zeros((4, 4, 4), np.uint8)) == []
