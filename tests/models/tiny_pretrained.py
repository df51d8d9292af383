"""Tiny, randomly initialized Hugging Face audio encoders as folders on disk, written as their authors would."""

from pathlib import Path
from typing import Any

import torch
import transformers

_WAVE = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "conv_dim": (8, 8),
    "conv_kernel": (10, 8),
    "conv_stride": (10, 8),
    "num_feat_extract_layers": 2,
    "num_conv_pos_embeddings": 4,
    "num_conv_pos_embedding_groups": 2,
    "mask_time_length": 2,
}
_CLAP_AUDIO = {
    "spec_size": 32,
    "num_mel_bins": 8,
    "patch_size": 4,
    "patch_stride": [4, 4],
    "window_size": 4,
    "depths": [1, 1],
    "num_attention_heads": [2, 2],
    "patch_embeds_hidden_size": 8,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "drop_path_rate": 0.2,
}
_CLAP_TEXT = {
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "vocab_size": 20,
    "max_position_embeddings": 16,
}

KINDS = ("ast", "wav2vec2", "hubert", "wavlm", "clap", "clap-unfused", "whisper")
MORE_KINDS = ("unispeech-sat", "data2vec-audio", "sew")


def write_pretrained(folder: Path, kind: str, seed: int = 0) -> Path:
    """Write ``folder`` with config, preprocessor and safetensors weights of a tiny encoder; returns it."""
    model, extractor = _build(kind, seed)
    transformers.utils.logging.disable_progress_bar()
    model.save_pretrained(folder)
    extractor.save_pretrained(folder)
    return folder


def _build(kind: str, seed: int) -> tuple[Any, Any]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if kind == "ast":
            config: Any = transformers.ASTConfig(
                hidden_size=16,
                num_hidden_layers=2,
                num_attention_heads=2,
                intermediate_size=24,
                patch_size=8,
                frequency_stride=8,
                time_stride=8,
                max_length=104,
                num_mel_bins=16,
            )
            extractor: Any = transformers.ASTFeatureExtractor(num_mel_bins=16, max_length=104)
            return transformers.ASTForAudioClassification(config), extractor
        if kind.startswith("clap"):
            fused = kind == "clap"
            config = transformers.ClapConfig(
                audio_config={**_CLAP_AUDIO, "enable_fusion": fused}, text_config=_CLAP_TEXT, projection_dim=8
            )
            extractor = transformers.ClapFeatureExtractor(
                feature_size=8,
                hop_length=768,
                max_length_s=2,
                fft_window_size=512,
                truncation="fusion" if fused else "rand_trunc",
            )
            return transformers.ClapModel(config), extractor
        if kind == "whisper":
            config = transformers.WhisperConfig(
                d_model=16,
                encoder_layers=1,
                decoder_layers=1,
                encoder_attention_heads=2,
                decoder_attention_heads=2,
                encoder_ffn_dim=16,
                decoder_ffn_dim=16,
                num_mel_bins=16,
                max_source_positions=100,
                vocab_size=20,
                pad_token_id=0,
                bos_token_id=1,
                eos_token_id=2,
                decoder_start_token_id=1,
            )
            extractor = transformers.WhisperFeatureExtractor(feature_size=16, chunk_length=2)
            return transformers.WhisperForConditionalGeneration(config), extractor
        names = {"wav2vec2": "Wav2Vec2", "hubert": "Hubert", "wavlm": "WavLM", "sew": "SEW"}
        names |= {"unispeech-sat": "UniSpeechSat", "data2vec-audio": "Data2VecAudio"}
        config = getattr(transformers, f"{names[kind]}Config")(**_WAVE)
        model = getattr(transformers, f"{names[kind]}Model")(config)
        return model, transformers.Wav2Vec2FeatureExtractor(do_normalize=kind != "wavlm")
