"""`ptescope sweep` from outside: its table, its JSON, and that it goes on where it stopped."""

import json
from pathlib import Path

from tests.tui.command_line import Answered, called

FEW = ("--kernel", "6.18", "--backing", "vgem", "--call", "destroy", "--bounded", "0", "--thin", "3", "--jobs", "1")


def sweep(cache: Path, *arguments: str) -> Answered:
    return called("sweep", *arguments, XDG_CACHE_HOME=str(cache), COLUMNS="100")


def test_the_table_and_what_it_holds_for(tmp_path: Path) -> None:
    done = sweep(tmp_path, *FEW)
    assert (done.returncode, done.stderr) == (0, "")
    assert "vgem" in done.stdout
    assert "at most 0 pre-emptions" in " ".join(done.stdout.split())
    assert "sequentially consistent" in " ".join(done.stdout.split())


def test_what_is_known_is_not_searched_again(tmp_path: Path) -> None:
    first = json.loads(sweep(tmp_path, *FEW, "--json").stdout)
    assert len(first["cases"]) == 3
    assert not any(case["found"] for case in first["cases"])
    (kept,) = tmp_path.rglob("sweep.json")
    kept.write_text(kept.read_text().replace(f'"states":{first["cases"][0]["states"]}', '"states":7'))
    assert json.loads(sweep(tmp_path, *FEW, "--json").stdout)["cases"][0]["states"] == 7
    assert json.loads(sweep(tmp_path, *FEW, "--json", "--fresh").stdout) == first


def test_a_damaged_file_and_a_wrong_word_are_no_accident(tmp_path: Path) -> None:
    sweep(tmp_path, *FEW)
    (kept,) = tmp_path.rglob("sweep.json")
    kept.write_bytes(b"\xff{")
    assert sweep(tmp_path, *FEW).returncode == 0
    done = sweep(tmp_path, "--backing", "memdf")
    assert done.returncode == 2
    assert "memfd" in done.stderr
