"""Where each dataset of the benchmark is published, under which terms, and what lies on disk afterwards.

A checksum stands here only where one is published; ``Checksum.publisher`` says by whom. Where none is, damage shows
when the archive is opened (zip and gzip carry checks of their own), but another version of the data would not.
"""

from dataclasses import dataclass
from typing import Literal

MB = 10**6


@dataclass(frozen=True)
class Checksum:
    """What a file's bytes add up to, in hexadecimal, and who says so."""

    algorithm: Literal["md5", "sha256"]
    value: str
    publisher: str


@dataclass(frozen=True)
class Archive:
    """One file to fetch, and the folder it becomes.

    ``size`` and ``unpacked`` are bytes; they are estimates, for progress, disk space and limits, never for checking.
    """

    url: str
    file: str
    folder: str
    size: int
    unpacked: int
    checksum: Checksum | None = None


@dataclass(frozen=True)
class Dataset:
    """A dataset: archives that anybody may fetch, or (``steps``) what a person has to do instead.

    ``source`` is the folder, inside the download folder, that ``prepare`` takes; ``expects`` names what must lie in
    the download folder in the end.
    """

    name: str
    title: str
    page: str
    license: str
    layout: str
    archives: tuple[Archive, ...] = ()
    expects: tuple[str, ...] = ()
    source: str = "."
    steps: tuple[str, ...] = ()


_NSYNTH_BUCKET = "https://storage.googleapis.com/download.magenta.tensorflow.org/datasets/nsynth/"
_NSYNTH_NOTE = 128_044  # bytes of one note: 4 s, 16 kHz, 16 bit


def _nsynth(part: str, size: int, notes: int, md5: str) -> Archive:
    file = f"nsynth-{part}.jsonwav.tar.gz"
    checksum = Checksum("md5", md5, "the storage server of the publisher; HEAR 2021 lists the same")
    # examples.json takes about 700 bytes a note
    return Archive(_NSYNTH_BUCKET + file, file, f"nsynth-{part}", size, notes * (_NSYNTH_NOTE + 700), checksum)


def _fsdkaggle(part: str, size: int, unpacked: int, md5: str) -> Archive:
    file = f"FSDKaggle2018.{part}.zip"
    url = f"https://zenodo.org/records/2552860/files/{file}?download=1"
    return Archive(url, file, f"FSDKaggle2018.{part}", size, unpacked, Checksum("md5", md5, "Zenodo record 2552860"))


ESC50 = Dataset(
    name="esc50",
    title="ESC-50: Dataset for Environmental Sound Classification (Piczak, 2015)",
    page="https://github.com/karolpiczak/ESC-50",
    license="CC BY-NC: no commercial use; attributions are in the archive's LICENSE file",
    layout="ESC-50-master/meta/esc50.csv, ESC-50-master/audio/*.wav",
    archives=(
        # GitHub packs this archive on request and promises no stable bytes: no checksum is published.
        Archive(
            "https://github.com/karolpiczak/ESC-50/archive/master.zip",
            "ESC-50-master.zip",
            "ESC-50-master",
            650 * MB,
            890 * MB,
        ),
    ),
    expects=("ESC-50-master/meta/esc50.csv", "ESC-50-master/audio"),
    source="ESC-50-master",
)

NSYNTH = Dataset(
    name="nsynth",
    title="The NSynth Dataset (Engel et al., 2017)",
    page="https://magenta.tensorflow.org/datasets/nsynth",
    license="CC BY 4.0",
    layout="nsynth-{train,valid,test}/examples.json, nsynth-{train,valid,test}/audio/*.wav",
    archives=(
        _nsynth("train", 23_815_298_079, 289_205, "fde6665a93865503ba598b9fac388660"),
        _nsynth("valid", 1_068_767_009, 12_678, "87e94a00a19b6dbc99cf6d4c0c0cae87"),
        _nsynth("test", 349_501_546, 4_096, "5e6f8719bf7e16ad0a00d518b78af77d"),
    ),
    expects=tuple(
        f"nsynth-{part}/{what}" for part in ("train", "valid", "test") for what in ("examples.json", "audio")
    ),
)

FSDKAGGLE2018 = Dataset(
    name="fsdkaggle2018",
    title="FSDKaggle2018 (Fonseca et al., 2018)",
    page="https://zenodo.org/records/2552860",
    license="each clip under its own Creative Commons license, some of them non-commercial: see FSDKaggle2018.meta",
    layout=(
        "FSDKaggle2018.audio_train/*.wav, FSDKaggle2018.audio_test/*.wav, FSDKaggle2018.meta/train_post_competition.csv"
        " and test_post_competition_scoring_clips.csv"
    ),
    archives=(
        # 18 hours of training clips and 2 of test clips at 44.1 kHz, 16 bit; 4.6 GiB packed in all
        _fsdkaggle("audio_train", 4400 * MB, 5800 * MB, "a8b47ff4b52022c178f88fa5c6f080d0"),
        _fsdkaggle("audio_test", 550 * MB, 700 * MB, "f85c8665c3fc39311ea1b748e194a81d"),
        _fsdkaggle("meta", 1 * MB, 5 * MB, "f16828ac8be0e5285b9175a12f90d784"),
    ),
    expects=(
        "FSDKaggle2018.audio_train",
        "FSDKaggle2018.audio_test",
        "FSDKaggle2018.meta/train_post_competition.csv",
        "FSDKaggle2018.meta/test_post_competition_scoring_clips.csv",
    ),
)

SPEECHCOMMANDS = Dataset(
    name="speechcommands",
    title="Speech Commands v0.02 (Warden, 2018)",
    page="https://arxiv.org/abs/1804.03209",
    license="CC BY 4.0",
    layout="speech_commands_v0.02/<word>/*.wav",
    archives=(
        Archive(
            "https://storage.googleapis.com/download.tensorflow.org/data/speech_commands_v0.02.tar.gz",
            "speech_commands_v0.02.tar.gz",
            "speech_commands_v0.02",
            2_428_923_189,
            3500 * MB,  # 105,829 words of at most 1 s at 16 kHz, 16 bit
            Checksum(
                "sha256",
                "af14739ee7dc311471de98f5f9d2c9191b18aedfe957f4a6ff791c709868ff58",
                "TensorFlow Datasets; torchaudio lists the same",
            ),
        ),
    ),
    expects=("speech_commands_v0.02/yes", "speech_commands_v0.02/_background_noise_"),
    source="speech_commands_v0.02",
)

BIRDCLEF2020 = Dataset(
    name="birdclef2020",
    title="BirdCLEF 2020, recordings of Xeno-canto (Kahl et al., 2020)",
    page="https://www.aicrowd.com/challenges/lifeclef-2020-bird-monophone",
    license="the rules of the challenge, which each participant accepts, and the license of each recording",
    layout="one folder of mp3 files for each species: <folder>/<species>/<recording>.mp3",
    steps=(
        "Make an account at AIcrowd, open the page above and accept the rules of the challenge (Participate).",
        "Fetch the training data under Resources and unpack it.",
        "Give `prepare` the folder that holds the folders of the species (in the published archive: audio).",
    ),
)

VOXCELEB1 = Dataset(
    name="voxceleb1",
    title="VoxCeleb1 (Nagrani et al., 2017)",
    page="https://mm.kaist.ac.kr/datasets/voxceleb/",
    license="for research; the copyright of each recording stays with the owner of its video",
    layout=(
        "wav/<speaker>/<video>/<number>.wav and vox1_meta.csv; or, of recordings fetched from the video site, "
        "voxceleb1.csv (uri, start, end, speaker) and whole recordings named by their video"
    ),
    steps=(
        "Fill in the request form on the page above; the addresses of the files come by e-mail.",
        "Fetch the development and the test recordings (wav) and vox1_meta.csv.",
        "Unpack both sets of recordings into one folder, so that wav/ holds one folder for each speaker.",
        "The authors' page is https://www.robots.ox.ac.uk/~vgg/data/voxceleb/vox1.html (no recordings there any more).",
    ),
)

WATKINS = Dataset(
    name="watkins",
    title="Watkins Marine Mammal Sound Database, best of cuts (WHOI, New Bedford Whaling Museum)",
    page="https://cis.whoi.edu/science/B/whalesounds/index.cfm",
    license="personal and academic use, with credit",
    layout="one folder of wav files for each species: <folder>/<species>/<cut>.wav",
    steps=(
        "The database publishes single cuts, no archive: fetch the 'Best of' cuts of each species from that page.",
        "MetaAudio used the collection that others packed at https://archive.org/details/watkins_202104.",
        "Give `prepare` the folder that holds the folders of the species.",
    ),
)

DATASETS = {
    dataset.name: dataset
    for dataset in (ESC50, NSYNTH, FSDKAGGLE2018, BIRDCLEF2020, VOXCELEB1, SPEECHCOMMANDS, WATKINS)
}
