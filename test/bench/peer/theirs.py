# SPDX-License-Identifier: MIT
"""PyTorch's side of a comparison: the same steps as ../step_*.c, of models of
the same configurations with random weights, as a process that is told when to
run (see ../worker.h).

    theirs.py versions
    theirs.py KEY=VALUE... form=WORD+WORD...

The words of a form are what there is to choose in PyTorch: "channels_last",
"compile", "freeze" (weights are constants of what is compiled), and in bfloat16
"autocast", or else weights in bfloat16.
"""

import contextlib
import json
import os
import resource
import sys
import time

import torch

CONFIG = os.path.join(os.environ["SRC_DIR"], "test/bench/config")


class Step:
    """What was asked for, and the models for it."""

    def __init__(self, request):
        self.request = request
        self.side = int(request.get("side", 512))
        self.batch = int(request.get("batch", 1))
        self.form = request.get("form", "eager").split("+")
        if "freeze" in self.form:
            from torch._inductor import config
            config.freezing = True
        self.bfloat16 = request.get("precision") == "bfloat16"
        self.autocast = self.bfloat16 and "autocast" in self.form
        self.dtype = torch.bfloat16 if self.bfloat16 and not self.autocast \
            else torch.float32

    def config(self, part):
        path = os.path.join(CONFIG, self.request.get("model", "sd15"), part,
                            "config.json")
        with open(path, encoding="utf-8") as file:
            return json.load(file)

    def build(self, make):
        """A model in the step's type from the start: nothing is made twice."""
        torch.set_default_dtype(self.dtype)
        model = make()
        torch.set_default_dtype(torch.float32)
        if "channels_last" in self.form:
            model = model.to(memory_format=torch.channels_last)
        return model

    def compile(self, function):
        return torch.compile(function) if "compile" in self.form else function

    def images(self, *shape):
        values = torch.randn(*shape).to(self.dtype)
        if "channels_last" in self.form:
            values = values.to(memory_format=torch.channels_last)
        return values

    def casts(self):
        if self.autocast:
            return torch.autocast("cpu", torch.bfloat16)
        return contextlib.nullcontext()

    def unet(self):
        from diffusers import UNet2DConditionModel
        return self.build(
            lambda: UNet2DConditionModel.from_config(self.config("unet")))

    def vae(self):
        from diffusers import AutoencoderKL
        return self.build(
            lambda: AutoencoderKL.from_config(self.config("vae"))).eval()

    def text_encoder(self):
        from transformers import CLIPTextConfig, CLIPTextModel
        config = CLIPTextConfig(**self.config("text_encoder"))
        return self.build(lambda: CLIPTextModel(config))

    def latents(self):
        levels = len(self.config("vae")["block_out_channels"])
        side = self.side >> (levels - 1)
        return self.images(self.batch, 4, side, side)

    def ids(self, rows):
        config = self.config("text_encoder")
        length = config["max_position_embeddings"]
        return torch.arange(length).repeat(rows, 1) % config["vocab_size"]


def inference(function):
    def run(step):
        # Freezing wants no_grad(), and it is as fast.
        with torch.no_grad(), step.casts():
            return function()
    return run


def open_unet(step):
    unet = step.compile(step.unet().eval())
    width = step.config("unet")["cross_attention_dim"]
    latents = step.latents()
    context = torch.randn(step.batch, 77, width).to(step.dtype)
    timesteps = torch.full((step.batch,), 500)
    return inference(lambda: unet(latents, timesteps, context).sample)


def open_vae(step):
    vae = step.vae()
    decode = step.compile(vae.decode)
    latents = step.latents()
    return inference(lambda: decode(latents).sample)


def open_text(step):
    encoder = step.compile(step.text_encoder().eval())
    ids = step.ids(step.batch)
    return inference(lambda: encoder(ids).last_hidden_state)


def scheduler(step, name):
    import diffusers
    path = os.path.join(CONFIG, step.request.get("model", "sd15"), "scheduler")
    return getattr(diffusers, name).from_pretrained(path)


def open_train(step):
    """train_dreambooth.py's step, with latents and prompts encoded before, but
    for a text encoder that is trained."""
    both = step.request.get("prior") == "yes"
    trains_text = step.request.get("text_encoder") == "yes"
    noising = scheduler(step, "DDPMScheduler")
    module = step.unet().train()
    if step.request.get("checkpointing") == "yes":
        module.enable_gradient_checkpointing()
    parameters = list(module.parameters())
    unet = step.compile(module)
    step.batch *= 2 if both else 1
    latents = step.latents()
    if trains_text:
        encoder = step.text_encoder().train()
        parameters += encoder.parameters()
        encoder = step.compile(encoder)
        ids = step.ids(step.batch)
    else:
        width = step.config("unet")["cross_attention_dim"]
        fixed = torch.randn(step.batch, 77, width)
    optimizer = torch.optim.AdamW(parameters, lr=1e-6, fused=True)

    def run(step):
        noise = torch.randn_like(latents)
        timesteps = torch.randint(0, 1000, (step.batch,))
        noisy = noising.add_noise(latents, noise, timesteps)
        target = noise if noising.config.prediction_type == "epsilon" \
            else noising.get_velocity(latents, noise, timesteps)
        with step.casts():
            context = encoder(ids).last_hidden_state if trains_text else fixed
            prediction = unet(noisy, timesteps, context).sample
        losses = [torch.nn.functional.mse_loss(p.float(), t.float())
                  for p, t in zip(prediction.chunk(2 if both else 1),
                                  target.chunk(2 if both else 1))]
        sum(losses).backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    return run


def open_sample(step):
    """The loop of StableDiffusionPipeline, without its checks."""
    text_encoder = step.compile(step.text_encoder().eval())
    unet = step.compile(step.unet().eval())
    vae = step.vae()
    decode = step.compile(vae.decode)
    ddim = scheduler(step, "DDIMScheduler")
    ids = step.ids(2)

    def draw():
        ddim.set_timesteps(int(step.request.get("steps", 20)))
        context = text_encoder(ids).last_hidden_state
        latents = step.latents()
        for timestep in ddim.timesteps:
            without, with_prompt = unet(torch.cat([latents] * 2), timestep,
                                        context).sample.chunk(2)
            guided = without + 7.5 * (with_prompt - without)
            latents = ddim.step(guided, timestep, latents).prev_sample
            latents = latents.to(step.dtype)
        return decode(latents / vae.config.scaling_factor).sample
    return inference(draw)


KINDS = {"unet": open_unet, "vae": open_vae, "text": open_text,
         "train": open_train, "sample": open_sample}


def print_versions():
    import diffusers
    import transformers
    print(f"PyTorch {torch.__version__}, diffusers {diffusers.__version__}, "
          f"transformers {transformers.__version__}")


def main(words):
    if words == ["versions"]:
        print_versions()
        return
    request = dict(word.split("=", 1) for word in words)
    threads = int(request.get("threads", 0))
    torch.set_num_threads(threads or os.cpu_count())
    torch.manual_seed(0)
    step = Step(request)
    run = KINDS[request["kind"]](step)
    print("ready", flush=True)
    for line in sys.stdin:
        if line != "run\n":
            sys.exit(f"theirs.py: a worker is told run, not {line}")
        begin = time.monotonic()
        run(step)
        print(f"seconds {time.monotonic() - begin:.6f}", flush=True)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(f"peak {peak}", flush=True)


main(sys.argv[1:])
