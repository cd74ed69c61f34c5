"""Machines as the doctor could meet them, and what it says of a recipe there."""

from dataclasses import replace
from types import SimpleNamespace

from rft import doctor
from rft.doctor.facts import Facts, Gpu
from rft.doctor.placement import Placement
from rft.estimates.model_size import Lookup, Shape
from rft.recipe.loading import load_recipe

VERSIONS = {"python": "3.11.7", "torch": "2.13.0+cu128", "transformers": "5.19.0"}
VERSIONS |= {"trl": "1.16.0", "vllm": "0.31.0", "peft": "0.21.2"}
ASKED = ["torch>=2.7", "transformers<6,>=5.16", "trl<1.17,>=1.16", 'pytest; extra == "dev"']
ASKED += ['vllm<0.33,>=0.29; extra == "vllm"']
TRL = ['vllm<=0.31.0,>=0.22.0; extra == "vllm"', "transformers>=4.56.2"]

T4 = Gpu("Tesla T4", 16_100_000_000, 15_900_000_000, bf16=False)
SMALL = Gpu("NVIDIA GeForce RTX 4090", 25_300_000_000, 25_000_000_000, bf16=True)
H100 = Gpu("NVIDIA H100 80GB HBM3", 85_000_000_000, 84_500_000_000, bf16=True)

HALF = Shape(988_097_824, "bfloat16", 494_032_768, 24, 896, 24 * 2 * 2 * 64, 32_768)
SEVEN = Shape(15_231_233_024, "bfloat16", 7_615_616_512, 28, 3584, 28 * 2 * 4 * 128, 32_768)
LARGE = Shape(65_527_752_704, "bfloat16", 32_763_876_352, 64, 5120, 64 * 2 * 8 * 128, 131_072)


def facts(*gpus, **changes):
    """Give a sound machine with these GPUs."""
    sound = Facts(
        versions=VERSIONS,
        requirements={"rft-rounds": ASKED, "trl": TRL},
        failures={"torch": "", "transformers": "", "trl": "", "vllm": ""},
        cuda="12.8",
        driver=True,
        gpus=gpus,
        visible=None,
        bubblewrap="/usr/bin/bwrap",
        system="Linux x86_64, 16 cores",
        memory=200_000_000_000,
        available=190_000_000_000,
        shm=64_000_000_000,
        place="runs/it",
        disk=10_000_000_000_000,
    )
    return replace(sound, **changes)


def report(name, there, shape=None, *settings):
    placement = Placement(load_recipe(name, settings), there, shape)
    return SimpleNamespace(**doctor.told(placement, Lookup(shape)))


def texts(told, level):
    return [each["text"] for each in told.findings if each["level"] == level]


def one(told, level, words):
    """Find the one verdict of a level that holds these words."""
    (text,) = [text for text in texts(told, level) if words in text]
    return text
