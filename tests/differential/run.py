"""Compares our answers with those of nats-server 2.15.1 (see README.md).

    run.py [TOPIC…]           compare, one line per scene
    run.py --show [TOPIC…]    print what the server under test answers
    run.py --record [TOPIC…]  write the reference's answers to recorded/
"""

import fnmatch
import json
import sys
import tomllib
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "foreign"))

from harness import Server, Suite, reference_binary, server_binary  # noqa: E402
from masks import compare  # noqa: E402
from player import Player, parse  # noqa: E402

suite = Suite("differential")


def play(script, binary):
    """Plays the scenes of a script: {title: answers or error}.

    Each scene has a server of its own, since the reference removes a deleted
    stream's files only later and a stream of the same name may find them.
    """
    out = {}
    jetstream = not script.name.startswith("core")
    for scene in script.scenes:
        if not suite.wanted(f"{script.name}/{scene.title}"):
            continue
        try:
            with Server(binary, script.config, jetstream=jetstream, name="differential") as server:
                out[scene.title] = Player(server, scene, jetstream).play()
        except Exception as e:
            out[scene.title] = f"{type(e).__name__}: {e}"
    # Through JSON, so that live and recorded answers are of the same types.
    return json.loads(json.dumps(out))


class Accepted:
    """The differences that are meant."""

    def __init__(self):
        document = tomllib.loads((HERE / "differences.toml").read_text())
        self.entries = document.get("difference", [])
        self.used = set()
        for entry in self.entries + document.get("later", []):
            if not entry.get("why") or not entry.get("scene"):
                raise SystemExit(f"differences.toml: an entry lacks scene or why: {entry}")
        # Scenes that need what is not built yet, with the reason.
        self.later = {e["scene"]: e["why"] for e in document.get("later", [])}

    def check_later(self, scripts):
        """Every entry of a script that was read must name one of its scenes."""
        names = {f"{s.name}/{scene.title}" for s in scripts for scene in s.scenes}
        topics = {s.name for s in scripts}
        for scene in self.later:
            if scene.split("/")[0] in topics and scene not in names:
                raise SystemExit(f"differences.toml: there is no scene {scene!r} to come later")

    def covers(self, scene, path):
        """Whether an entry names this difference."""
        for i, entry in enumerate(self.entries):
            # Brackets are part of paths, not of the pattern.
            pattern = entry.get("path", "*").replace("[", "[[]")
            if fnmatch.fnmatchcase(scene, entry["scene"]) and fnmatch.fnmatchcase(path, pattern):
                self.used.add(i)
                return True
        return False


def differences(scene, got, want, accepted):
    """The differences of a scene as texts, and the number of exchanges."""
    if isinstance(want, str) or isinstance(got, str):
        return [] if got == want else [f"got {short(got)}, want {short(want)}"]
    out, known = [], set()
    for n, ((line, g), (_, w)) in enumerate(zip(got, want), 1):
        for path, a, b in compare(g, w):
            if not accepted.covers(scene, f"{n}{path[1:]}"):
                # One cause shows in many answers; the first speaks for all.
                cause = (path.rsplit(".", 1)[-1], short(a), short(b))
                if cause in known:
                    continue
                known.add(cause)
                out.append(f"{n} `{line[:90]}` {path}: got {short(a)}, want {short(b)}")
    if len(got) != len(want):
        out.append(f"got {len(got)} answers, want {len(want)}")
    return out


def short(value):
    """A value for a message."""
    text = json.dumps(value) if not isinstance(value, str) else value
    return text if len(text) < 160 else text[:157] + "..."


def recorded_answers(script):
    """What the reference answered when it was recorded."""
    return json.loads((HERE / "recorded" / f"{script.name}.json").read_text())


def wanted_answers(script, reference):
    """Live answers of the reference, else the recorded ones."""
    return play(script, reference) if reference else recorded_answers(script)


def main(args):
    """Dispatch."""
    flags = {a for a in args if a.startswith("--")}
    topics = [a for a in args if not a.startswith("--")]
    scripts = [parse(p) for p in sorted((HERE / "scripts").glob("*.txt"))]
    scripts = [s for s in scripts if not topics or s.name in topics]
    if "--show" in flags:
        for script in scripts:
            for title, answers in play(script, server_binary()).items():
                print(f"\n== {script.name}/{title}")
                for line, answer in answers if not isinstance(answers, str) else [("", answers)]:
                    print(f"{line}\n    {json.dumps(answer)}")
        return
    reference = reference_binary()
    if "--record" in flags:
        (HERE / "recorded").mkdir(exist_ok=True)
        for script in scripts:
            text = json.dumps(play(script, reference), indent=1, sort_keys=True)
            (HERE / "recorded" / f"{script.name}.json").write_text(text + "\n")
        return
    accepted, exchanges = Accepted(), 0
    accepted.check_later(scripts)
    for script in scripts:
        want = wanted_answers(script, reference)
        got = play(script, server_binary())
        for title, answers in want.items():
            name = f"{script.name}/{title}"
            bad = differences(name, got.get(title, []), answers, accepted)
            if bad and reference:
                # On a busy machine the reference sometimes answers late or in
                # another order: what it answered on a quiet one counts as well.
                quiet = recorded_answers(script).get(title)
                if quiet and not differences(name, got.get(title, []), quiet, accepted):
                    bad = []
            exchanges += 0 if isinstance(answers, str) else len(answers)
            if isinstance(answers, str):
                suite.fail(name, f"the reference could not play it: {answers}")
            elif name in accepted.later:
                suite.expected_later(name, accepted.later[name], bad)
            elif bad:
                suite.fail(name, f"{len(bad)} differ: " + "; ".join(bad[:4]))
            else:
                suite.ok(name)
    print(f"{exchanges} exchanges compared")
    if "gust" in Path(server_binary()).name and not topics and not suite.only.pattern:
        for i, entry in enumerate(accepted.entries):
            if i not in accepted.used:
                print(f"note: this accepted difference is gone: {entry['scene']} {entry.get('path', '')}")
    suite.done()


if __name__ == "__main__":
    main(sys.argv[1:])
