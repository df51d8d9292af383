#!/usr/bin/env bash
# Everything that wants a GPU, in one call: milliseconds per episode of each scenario, profiles, then the whole
# published ESC-50 experiment with attention + angular (5 runs x 200 epochs, 2000 test tasks each).
#
#   benchmarks/gpu.sh DATA [KEY=VALUE...]
#
# DATA: the folder that holds the prepared dataset folder ESC-50-master, or a .tar.* of that dataset folder.
# KEY=VALUE: config overrides of the experiment, such as num_runs=1.
# From the environment: OUT (results, default gpu-results), PARTS ("measure train"), WHEELS (folder of .whl files of
# Python packages that this machine lacks), DEVICE (auto), EPISODES and EPOCHS of a measurement, PYTHON (python3),
# CONFIGS (folder with experiment_config.json and model_config.json; default: those that `configs` writes).
# Works from a checkout without installing it.
set -euo pipefail
cd "$(dirname "$0")/.."
data=${1:?usage: benchmarks/gpu.sh DATA [KEY=VALUE...]}
shift
out=${OUT:-gpu-results}
python=${PYTHON:-python3}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export PYTHONPATH="$PWD/src:$PWD${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1
mkdir -p "$out"
if [ -n "${WHEELS:-}" ]; then
    "$python" -m pip install -q --no-index --no-deps --no-compile --target "$work/site" "$WHEELS"/*.whl
    PYTHONPATH="$PYTHONPATH:$work/site"
fi
if [ -f "$data" ]; then
    mkdir "$work/data"
    tar -xf "$data" -C "$work/data"
    data=$work/data
fi
{
    date
    command -v nvidia-smi >/dev/null && nvidia-smi || echo "no nvidia-smi"
} >"$out/machine.txt"

for part in ${PARTS:-measure train}; do
    case $part in
    measure)
        options=(--output "$work/measured" --device "${DEVICE:-auto}" --episodes "${EPISODES:-200}" --epochs "${EPOCHS:-4}")
        "$python" -m benchmarks.gpu "${options[@]}" | tee "$out/gpu.txt"
        "$python" -m benchmarks.gpu "${options[@]}" --compile --scenario "attention + angular" | tee -a "$out/gpu.txt" ||
            echo "the encoder does not compile here" | tee -a "$out/gpu.txt"
        tar -czf "$out/measured.tar.gz" -C "$work" measured
        ;;
    train)
        configs=${CONFIGS:-$work/configs}
        [ -n "${CONFIGS:-}" ] || "$python" -m fewshot_audio.cli configs --dataset ESC-50-master --scenario 5 --loss angular -o "$configs"
        overrides=(--set experiment_folder=published --set "device=${DEVICE:-auto}")
        for override in "$@"; do overrides+=(--set "$override"); done
        began=$SECONDS
        "$python" src/train_test.py -e "$configs/experiment_config.json" -m "$configs/model_config.json" \
            --data-root "$data" --output "$work/experiments" "${overrides[@]}" 2>&1 | tee "$out/train.txt"
        echo "whole experiment: $((SECONDS - began)) s" | tee -a "$out/train.txt"
        experiment=$work/experiments/published
        cp "$experiment/results.json" "$out/"
        tar -czf "$out/runs.tar.gz" -C "$work/experiments" --exclude state.pt --exclude tensorboard --exclude .locks published
        curves=()
        for run in "$experiment"/run-*; do curves+=("$(basename "$run")=$run"); done
        "$python" -m benchmarks.curves "${curves[@]}" -o "$out/curves.png" || echo "no curves: matplotlib is missing"
        ;;
    *)
        echo "PARTS: $part is neither measure nor train" >&2
        exit 2
        ;;
    esac
done
ls -l "$out"
