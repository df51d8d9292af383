"""What ``enroll`` prints of the enrolled clips: the table, what is wrong with clips, advice, and the calibration."""

from fewshot_audio.cli.console import percent, print_line, print_table
from fewshot_audio.errors import on_one_line, plural
from fewshot_audio.recognition.advice import advice
from fewshot_audio.recognition.recognizer import Recognizer


def show_diagnosis(recognizer: Recognizer) -> None:
    """Print the diagnosis and the calibration."""
    diagnosis = recognizer.diagnose()
    rows = []
    for name in recognizer.classes:
        clips = recognizer.clips(name)
        own = [clip for clip in diagnosis.clips if clip.class_name == name]
        accuracy = diagnosis.class_accuracy[name]
        confusions = {clip.answer for clip in own if clip.answer is not None and clip.answer != name}
        rows.append(
            (
                name,
                str(len(clips)),
                str(sum(clip.segments for clip in clips)),
                percent(accuracy) if accuracy is not None else "one clip",
                ", ".join(sorted(confusions)),
            )
        )
    overall = percent(diagnosis.accuracy) if diagnosis.accuracy is not None else "unknown (one clip per class)"
    columns = ("class", "clips", "segments", "right, left out", "taken for")
    print_table(f"{plural(len(rows), 'class')}; each clip judged with itself left out: {overall}", columns, rows)
    for pair in diagnosis.collisions:
        both = on_one_line(f"{pair.first} and {pair.second}")
        print_line(f"Often confused: {both} ({pair.confused} of {pair.clips} clips confused)")
    for clip in diagnosis.outliers:
        print_line(f"Far from its class: {on_one_line(f'{clip.class_name}/{clip.clip}')} ({clip.distance:.2f})")
    for clip in diagnosis.silent:
        print_line(f"Mostly silent: {on_one_line(f'{clip.class_name}/{clip.clip}')} ({100 * clip.silence:.0f} % of it)")
    for clip in diagnosis.duplicates:
        print_line(on_one_line(f"The same recording: {clip.class_name}/{clip.clip} and {clip.duplicate_of}"))
    if recognizer.ignored:
        print_line(on_one_line(f"Never an answer: {', '.join(recognizer.ignored)}"))
    if recognizer.background:
        segments = sum(clip.segments for clip in recognizer.background)
        print_line(
            f"Background: {plural(len(recognizer.background), 'recording')}, {plural(segments, 'segment')}; what is "
            "more like it than like the nearest class is unknown."
        )
    for line in advice(diagnosis):
        print_line(on_one_line(line))
    _show_calibration(recognizer)


def _show_calibration(recognizer: Recognizer) -> None:
    decision = recognizer.snapshot().decision
    calibration = recognizer.calibration
    if decision:
        print_line(
            f'Calibrated on these clips: a clip is called "unknown" if its score is above '
            f"{decision.calibration.threshold:.2f}, as about {100 * decision.calibration.false_alarm:g} % of known "
            "clips are."
        )
    elif calibration:
        print_line(
            f'Calibrated on validation classes: a clip is called "unknown" if its score is above '
            f"{calibration.threshold:.2f}. Those are {100 * calibration.false_alarm:g} % of known clips (false alarms) "
            f"and {100 * calibration.unknown_found:.0f} % of unknown ones. Calibration error: "
            f"{100 * calibration.ece_before:.1f} % before, {100 * calibration.ece_after:.1f} % after."
        )
    else:
        print_line(
            "Not calibrated, for want of validation classes of the dataset that the network was trained on: nothing is "
            'called "unknown".'
        )
