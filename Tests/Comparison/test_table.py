# The comparison's own arithmetic: how answers become cells, and what a note is about.
import unittest

import cases
import table
from main import chosen


def results_of(**rounds):
    """Of one case with one title; its note is socat's."""
    return {
        "facts": {"date": "2026-01-02", "commit": "abc", "kernel": "6"}, "rounds": 3,
        "left_out": [], "peers": {x: {"name": x, "version": "1.0"} for x in rounds},
        "cases": [{
            "key": "one", "titles": ["it works"],
            "answers": {key: {"rounds": [[x] for x in words]} for key, words in rounds.items()},
            "notes": [{"peer": "socat", "text": "`-t 1`; else: {}", "rounds": [["no"]] * 3}]}]}


class Table(unittest.TestCase):
    def test_a_cell_says_what_all_rounds_came_to(self):
        self.assertEqual(table.cell([["yes"], ["yes"], ["yes"]]), "yes")
        self.assertEqual(table.cell([["a", "yes"], ["a", "spins"], ["a", "spins"]], 1),
                         "spins, 2 of 3")

    def test_of_equally_frequent_answers_it_says_the_worse(self):
        self.assertEqual(table.cell([["yes"], ["no"]]), "no, 1 of 2")
        self.assertEqual(table.cell([["no"], ["yes"]]), "no, 1 of 2")

    def test_one_other_answer_of_sidecar_s_fails(self):
        self.assertEqual(table.failures(results_of(sidecar=["yes"] * 3, socat=["no"] * 3)), [])
        failed = table.failures(results_of(sidecar=["yes", "error", "yes"], socat=["no"] * 3))
        self.assertEqual(failed, ["it works"])

    def test_the_table_has_every_cell_and_note(self):
        shown = "\n".join(table.as_markdown(results_of(sidecar=["yes"] * 3, socat=["no"] * 3)))
        self.assertIn("| it works | yes | no <sup>1</sup> |", shown)
        self.assertIn("1. socat: `-t 1`; else: no.", shown)
        self.assertIn("commit abc", shown)


class Cases(unittest.TestCase):
    def test_settings_and_notes_are_of_peers_that_are_compared(self):
        for case in cases.CASES:
            for key in (*case.settings, *case.runs, *(x.peer for x in case.notes)):
                self.assertIn(key, cases.COLUMNS, case.key)
            # A superscript names one note.
            noted = [x.peer for x in case.notes]
            self.assertEqual(len(noted), len(set(noted)), case.key)

    def test_a_note_has_a_place_for_what_it_is_about(self):
        for case in cases.CASES:
            for note in case.notes:
                self.assertEqual(note.text.count("{}"), int(note.setting is not None), note.text)

    def test_sidecar_is_always_asked(self):
        asked, keys = chosen({"COMPARE_CASES": "probes", "COMPARE_PEERS": "socat"})
        self.assertEqual(([x.key for x in asked], keys), (["probes"], ["sidecar", "socat"]))
        with self.assertRaises(SystemExit):
            chosen({"COMPARE_PEERS": "nobody"})


if __name__ == "__main__":
    unittest.main()
