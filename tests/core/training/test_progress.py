from core.training.progress import Events

EPOCH = dict.fromkeys(("train_loss", "val_loss", "dice_anterior", "dice_posterior", "seconds"), 0.5)


def test_events_survive_a_line_that_was_cut_off(tmp_path):
    file = tmp_path / "events.jsonl"
    events = Events(file)
    events.phase("Planning")
    events.epoch("a" * 64, epoch=0, **EPOCH)
    whole = file.read_bytes()
    file.write_bytes(whole + b'{"event": "epoch", "checkpoint_sha')  # killed while it wrote
    again = Events(file)
    assert again.checkpoints() == {"a" * 64}
    again.epoch("b" * 64, epoch=1, **EPOCH)
    assert file.read_bytes().startswith(whole)
    assert [event["event"] for event in again.read()] == ["phase", "epoch", "epoch"]
    assert again.checkpoints() == {"a" * 64, "b" * 64}
