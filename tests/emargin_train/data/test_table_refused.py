"""What is wrong in a TOML description, or in the files that it names, is told by the command."""

import pytest

from tests.emargin_train.data.made import FRAMES, GOOD, csv, refused

INTERVALS = '[labels]\nfrom = "intervals"\nfile = "m.csv"\nstart = 1\nend = 2\nvalue = "v"\n'


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("rate_hz", "rate_khz", "signal[1].rate_khz is not a key: did you mean 'rate_hz'?"),
        ("[frames]", "[framse]", "frames is missing"),
        (
            "sequence_length = 3",
            "sequence_length = 3\nsequence_lenght = 4",
            "frames.sequence_lenght is not a key: did",
        ),
        ("sequence_length = 3", "sequence_length = 2", "frames.sequence_length is '2'"),
        ("sequence_length = 3", "sequence_length = true", "frames.sequence_length is 'True'"),
        ("length_s = 1", "length_s = 1\nlength = 10", "frames.length is 'given twice'"),
        ("length_s = 1", "", "frames.length is 'missing'"),
        ("length_s = 1", "length_s = -1", "must be seconds, above 0"),
        ("length_s = 1", "length_s = nan", "must be seconds, above 0"),
        ('from = "column"', 'from = "colunm"', "labels.from is 'colunm': did you mean 'column'?"),
        ('from = "column"', 'from = "name"', "a {label} in the first signal's files"),
        ('from = "column"\ncolumn = "label"', 'from = "annotations"', "EDF or WFDB signals"),
        ('channels = ["x"]', 'channels = ["z"]', "has no column 'z': known: label, x"),
        ('channels = ["x"]', "channels = []", "a list of columns"),
        ('channels = ["x"]', 'channels = ["x", "x"]', "different names, or positions"),
        ('channels = ["x"]', 'channels = ["x"]\nnames = ["p", "q"]', "1 names, one for each channel"),
        ('channels = ["x"]', 'channels = ["x"]\nunits = ["p", "q"]', "a unit, or one for each channel"),
        ('channels = ["x"]', 'channels = ["x"]\ndelimiter = "ab"', "one character or 'whitespace'"),
        ('channels = ["x"]', 'channels = ["x"]\ndecimal = ","', "different from the delimiter"),
        ('column = "label"', 'column = "lable"', "has no column 'lable': did you mean 'label'?"),
        ('column = "label"', "column = 0", "a position counted from 1"),
        ('column = "label"', 'column = "label"\nmap = { q = "Q" }', "which matches nothing (found: 0, 1)"),
        ('column = "label"', 'column = "label"\nmap = {}', "value as written = class"),
        ('files = "{subject}.csv"', 'files = "/etc/{subject}.csv"', "leaves the data folder"),
        ('files = "{subject}.csv"', 'files = "../{subject}.csv"', "leaves the data folder"),
        ('files = "{subject}.csv"', 'files = "{subject}.tsv"', "matches '{subject}.tsv'"),
        ('files = "{subject}.csv"', 'files = "{subject}.xyz"', "signal[1].format is missing"),
        ('files = "{subject}.csv"', 'files = "*.csv"\nformat = "edf"', "from is 'column'"),
        ("rate_hz = 10\n", "", "does not state its rate"),
        ("rate_hz = 10\n", "rate_hz = 0\n", "signal[1].rate_hz is '0'"),
        ("rate_hz = 10\n", 'time = "x"\n', "cannot be a channel and a label or date"),
        ("rate_hz = 10\n", "rate_hz = { q = 10 }\n", "has no rate"),
        ("[signal]", "[[signal]]\n[[signal]]", "signal[1].files is missing"),
        ("[signal]", "signal = 5\n[x]", "signal is '5'"),
        ("[labels]", 'classes = ["a", "a"]\n[labels]', "is not a key"),
        ("[labels]", "[labels", "is not TOML"),
        ('[labels]\nfrom = "column"\ncolumn = "label"\n', INTERVALS, "no file under"),
        (
            '[labels]\nfrom = "column"\ncolumn = "label"\n',
            INTERVALS.replace("end = 2", "end = 2\nduration = 3"),
            "labels.end",
        ),
        ("[signal]", "signal = []\n[x]", "one or more [[signal]] tables"),
        ("[signal]", "signal = [1]\n[x]", "signal[1] is '1', but must be a table of keys"),
        ('files = "{subject}.csv"', 'files = ""', "signal[1].files is ''"),
        ('files = "{subject}.csv"', 'files = "[z-a]{subject}.csv"', "is not a pattern of files"),
        ('files = "{subject}.csv"', 'files = "{1}.csv"', "is not a pattern of files"),
        ('files = "{subject}.csv"', 'files = "**{subject}.csv"', "is not a pattern of files|no file under"),
        ("[frames]", '[subject]\nsame = ["a"]\n[frames]', "lists of subjects who are one person"),
        ("[signal]", 'classes = ["a", "a"]\n[signal]', "a list of different class names"),
        ("[signal]", 'classes = ["z"]\n[signal]', "classes has 'z', which matches nothing (found: 0, 1)"),
        ("[signal]", f'title = "{"x" * 1_000_000}"\n[signal]', "over 1,000,000 bytes"),
        ("rate_hz = 10\n", "rate_hz = 10\nskip_lines = 1000\n", "has no line after the 1000 skipped"),
        (
            "[labels]",
            '[[signal]]\nfiles = "{subject}.csv"\nchannels = [1]\ntime = 1\n[labels]',
            "is not TOML",
        ),
        (
            'column = "label"',
            'column = "label"\nmap = { 1 = "p" }\n[subject]\ncolumn = "who"',
            "has no column 'who'",
        ),
        (
            '[labels]\nfrom = "column"\ncolumn = "label"\n',
            'classes = ["q"]\n[labels]\nfrom = "column"\ncolumn = "label"\nmap = { 1 = "p" }\n',
            "is not a key",
        ),
        (
            '[labels]\nfrom = "column"\ncolumn = "label"\n',
            INTERVALS.replace('value = "v"', ""),
            "labels.column is 'None', but must be given, or value",
        ),
    ],
)
def test_descriptions_refused_by_the_command(tmp_path, capsys, old, new, said):
    for who in "ab":
        csv(tmp_path / f"{who}.csv", "x,label", [(k, k % 2) for k in range(60)])
    assert old in GOOD
    (tmp_path / "my.toml").write_text(GOOD.replace(old, new))
    message = refused(capsys, "describe", tmp_path / "my.toml")
    assert any(one in message for one in said.split("|")), message


def test_descriptions_of_several_signals_refused_by_the_command(tmp_path, capsys):
    signal = '[[signal]]\nfiles = "{n}.csv"\nchannels = ["x"]\n'
    labels = '[labels]\nfrom = "column"\ncolumn = "label"\n'
    csv(tmp_path / "1.csv", "x,t,who,label", [(1, 1, "", 1)] * 5)

    def said(text: str) -> str:
        (tmp_path / "my.toml").write_text(text + FRAMES)
        return refused(capsys, "describe", tmp_path / "my.toml")

    assert "signals are joined on time, give all" in said(signal + 'time = "t"\n' + signal + labels)
    assert "left out unless there is one signal" in said(2 * signal + labels + '[subject]\ncolumn = "who"\n')
    assert "labels.map gives 'p', but classes does not list it" in said(
        'classes = ["q"]\n' + signal + labels + 'map = { 1 = "p" }\n'
    )
    assert "uses {m}, but the first" in said(signal + signal.replace("{n}", "{m}") + labels)
    assert "row 1 has no subject" in said(signal + "rate_hz = 5\n" + labels + '[subject]\ncolumn = "who"\n')
    notes = '[labels]\nfrom = "annotations"\nfile = "{n}.csv"\n'
    assert "an EDF+ or BDF+ file; for WFDB leave it out" in said(signal + notes)


def test_data_refused_by_the_command(tmp_path, capsys):
    toml = tmp_path / "my.toml"
    toml.write_text(GOOD)
    assert "is not a folder" in refused(capsys, "describe", toml, "--data-dir", tmp_path / "absent")
    assert "no file under" in refused(capsys, "describe", toml)
    assert "does not exist" in refused(capsys, "describe", tmp_path / "absent.toml")
    outside = tmp_path / "outside.csv"
    csv(outside, "x,label", [(1, 1)])
    inside = tmp_path / "data"
    inside.mkdir()
    (inside / "a.csv").symlink_to(outside)
    assert "links to" in refused(capsys, "describe", toml, "--data-dir", inside)
    (inside / "a.csv").unlink()
    csv(inside / "a.csv", "x,label", [])
    assert "no recording has a label" in refused(capsys, "describe", toml, "--data-dir", inside)
    toml.write_text('classes = ["u"]\n' + GOOD)
    assert "holds no sample" in refused(capsys, "describe", toml, "--data-dir", inside)
    toml.write_text(GOOD)
    csv(inside / "a.csv", "x,label", [("", "u")] * 5)
    assert "has no two samples" in refused(capsys, "describe", toml, "--data-dir", inside)
    csv(inside / "a.csv", "x,label", [(k, k) for k in range(300)])
    assert "over 200 different values" in refused(capsys, "describe", toml, "--data-dir", inside)
    csv(inside / "a.csv", "x,label", [(1, "")] * 5)
    assert "no recording has a label" in refused(capsys, "describe", toml, "--data-dir", inside)


def test_two_files_for_one_record_are_refused(tmp_path, capsys):
    for folder in ("p", "q"):
        csv(tmp_path / folder / "a.csv", "x,label", [(1, 1)])
    (tmp_path / "my.toml").write_text(GOOD.replace('"{subject}.csv"', '"*/{subject}.csv"'))
    assert "would both be record 'a'" in refused(capsys, "describe", tmp_path / "my.toml")


def test_a_partner_that_is_missing_or_never_overlaps_is_named(tmp_path, capsys):
    signal = '[[signal]]\nfiles = "{}"\nchannels = ["x"]\ntime = "t"\ntime_unit = "s"\n'
    toml = "rate_hz = 10\n" + signal.format("{n}_p.csv") + signal.format("{n}_q.csv")
    (tmp_path / "my.toml").write_text(toml + '[labels]\nfrom = "column"\ncolumn = "label"\n' + FRAMES)
    csv(tmp_path / "1_p.csv", "t,x,label", [(k / 10, k, "u") for k in range(50)])
    assert "each recording needs exactly one" in refused(capsys, "describe", tmp_path / "my.toml")
    csv(tmp_path / "1_q.csv", "t,x", [(1000 + k / 10, k) for k in range(50)])
    assert "have no time in common" in refused(capsys, "describe", tmp_path / "my.toml")
    (tmp_path / "my.toml").write_text((toml + FRAMES).replace("{n}_q", "{m}_q") + '[labels]\nfrom="name"\n')
    assert "{label}" in refused(capsys, "describe", tmp_path / "my.toml")


def test_overlapping_and_reversed_intervals_are_named(tmp_path, capsys):
    csv(tmp_path / "a.csv", "x,label", [(k, 0) for k in range(60)])
    (tmp_path / "my.toml").write_text(
        '[signal]\nfiles = "a.csv"\nchannels = ["x"]\nrate_hz = 10\n[labels]\nfrom = "intervals"\n'
        'file = "m.csv"\n'
        "start = 1\nend = 2\ncolumn = 3\n" + FRAMES
    )
    csv(tmp_path / "m.csv", "a,b,c", [(0, 3, "u"), (2, 4, "v")])
    assert "at 2 s both 'u' and 'v' hold" in refused(capsys, "describe", tmp_path / "my.toml")
    csv(tmp_path / "m.csv", "a,b,c", [(3, 1, "u")])
    assert "ends at 1 s, before it starts at 3 s" in refused(capsys, "describe", tmp_path / "my.toml")
    csv(tmp_path / "m.csv", "a,b,c", [(3, "", "u")])
    assert "has no start or no end" in refused(capsys, "describe", tmp_path / "my.toml")
