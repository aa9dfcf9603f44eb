# SPDX-License-Identifier: MIT
"""What is compared with PyTorch: a row for each piece of work, with the goals
that the library has set itself: for its time divided by PyTorch's, and for its
memory."""

import dataclasses

COMPILED = ["compile", "compile+channels_last",
            "compile+freeze+channels_last"]
INFERENCE = ["eager", "channels_last"] + COMPILED
INFERENCE_BF16 = INFERENCE + ["autocast", "autocast+channels_last",
                              "autocast+compile+channels_last"]
TRAINING = ["eager", "channels_last", "compile", "compile+channels_last"]
TRAINING_BF16 = ["autocast+" + form for form in TRAINING]


@dataclasses.dataclass
class Row:
    """request: what both sides are told. ours, theirs: what only one is.
    forms: of PyTorch, to be tried. like: or the row whose fastest form is
    taken. alone: too large for two processes at once."""
    name: str
    title: str
    goal: str
    request: str
    forms: list = ()
    like: str = ""
    ours: str = ""
    theirs: str = ""
    runs: int = 3
    alone: bool = False


UNET = "kind=unet side=512"
DREAMBOOTH = "kind=train prior=yes"
SMALL = "model=small64 side=64"
SMALL_TRAIN = f"kind=train text_encoder=yes {SMALL}"
SMALL_SAMPLE = f"kind=sample steps=20 {SMALL}"
# Of ours: the options for training in little memory.
LITTLE_MEMORY = ("precision=bfloat16 weights=bfloat16 gradients=bfloat16 "
                 "optimizer=adamw-8bit memory_limit=7500000000")
# Of ours: nothing is computed twice, as in PyTorch without checkpointing.
SMALL_OURS = "recompute=off"
# Products in bfloat16, and in the second case the weights as well.
BF16 = "precision=bfloat16"
BF16_WEIGHTS = "weights=bfloat16"

ROWS = [
    Row("unet-f32", "UNet forward, batch 1, f32, 512²",
        "0.33, 3.9 GB", UNET, INFERENCE),
    Row("unet2-f32", "UNet forward, batch 2 (a guided step), f32", "0.33, 3.9 GB",
        f"{UNET} batch=2", like="unet-f32"),
    Row("unet-bf16", "UNet forward, batch 1, bf16", "0.5, 2.2 GB",
        f"{UNET} {BF16}", INFERENCE_BF16, ours=BF16_WEIGHTS),
    Row("unet2-bf16", "UNet forward, batch 2, bf16", "0.5, 2.2 GB",
        f"{UNET} batch=2 {BF16}", like="unet-bf16", ours=BF16_WEIGHTS),
    Row("step512-f32", "DreamBooth step, 1 + 1 images at 512², f32",
        "0.33, 14.5 GB",
        f"{DREAMBOOTH} side=512", like="step256-f32",
        theirs="checkpointing=yes", runs=2, alone=True),
    Row("step512-bf16", "the same, bf16 autocast", "0.45",
        f"{DREAMBOOTH} side=512 {BF16}", like="step256-bf16",
        theirs="checkpointing=yes", runs=2, alone=True),
    Row("step512-low", "the same beside f32, in little memory", "8 GB",
        f"{DREAMBOOTH} side=512", like="step256-f32", ours=LITTLE_MEMORY,
        theirs="checkpointing=yes", runs=2, alone=True),
    Row("step256-f32", "DreamBooth step at 256², f32", "0.33",
        f"{DREAMBOOTH} side=256", TRAINING, theirs="checkpointing=yes",
        runs=2, alone=True),
    Row("step256-bf16", "the same, bf16 autocast", "0.45",
        f"{DREAMBOOTH} side=256 {BF16}", TRAINING_BF16,
        theirs="checkpointing=yes", runs=2, alone=True),
    Row("vae-f32", "VAE decode to 512², f32", "0.33, 1 GB", "kind=vae side=512",
        INFERENCE),
    Row("text-f32", "text encoder", "0.5", "kind=text",
        ["eager", "compile", "compile+freeze"], runs=15),
    Row("small8-f32", "small model: training step, batch 8, f32", "0.3",
        f"{SMALL_TRAIN} batch=8", TRAINING, ours=SMALL_OURS, runs=15),
    Row("small24-f32", "the same, batch 24, f32", "0.3",
        f"{SMALL_TRAIN} batch=24", TRAINING, ours=SMALL_OURS, runs=9),
    Row("small24-bf16", "the same, batch 24, bf16 autocast", "0.25",
        f"{SMALL_TRAIN} batch=24 {BF16}", TRAINING_BF16,
        ours=SMALL_OURS, runs=9),
    Row("sample-f32", "small model: 20 guided sampling steps, f32", "0.25",
        SMALL_SAMPLE, INFERENCE, runs=9),
    Row("sample-bf16", "the same, bf16", "0.25", f"{SMALL_SAMPLE} {BF16}",
        INFERENCE_BF16, ours=BF16_WEIGHTS, runs=9),
]


def choose(names):
    """The rows of NAMES, or all."""
    known = {row.name: row for row in ROWS}
    for name in names:
        if name not in known:
            raise SystemExit(f"bench-peer: there is no row {name}; there are "
                             + " ".join(known))
    return [known[name] for name in names] or ROWS
