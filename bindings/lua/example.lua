-- SPDX-License-Identifier: MIT
--
-- Teaches a model a subject and draws it:
--
--     luajit example.lua MODEL PHOTOS OUT "a [V] dog" "a dog" [NAME=VALUE ...]
--
-- NAME is an option of the trainer, such as steps=400. Ctrl-C stops it, and the
-- same command goes on from the last checkpoint.

local dreambooth = require "dreambooth"

local model_folder, photos, out, prompt, class_prompt = ...
if not class_prompt then
    print("usage: example.lua MODEL PHOTOS OUT PROMPT CLASS-PROMPT " ..
          "[NAME=VALUE ...]")
    os.exit(2)
end

local context = assert(dreambooth.context())
local model = assert(context:open(model_folder))
local trainer = assert(model:trainer {
    instance_prompt = prompt,
    class_prompt = class_prompt,
    out = out,
    resume = true,
})
for _, argument in ipairs {select(6, ...)} do
    local name, value = argument:match "^([^=]+)=(.*)$"
    assert(trainer:set(name or argument, value))
end
assert(trainer:add(photos))

for done, total in trainer:preparation() do
    print(("class image %d of %d"):format(done, total))
end
for step, facts in trainer:steps() do
    print(("step %d  loss %.4f"):format(step, facts.loss))
    for level, text in context:log() do
        print(level .. ": " .. text)
    end
end

local sampler = assert(model:sampler {prompt = prompt, size = trainer.size})
local image = assert(sampler:run())
assert(image:write(out .. "/sample.png"))
print(out .. "/sample.png")
