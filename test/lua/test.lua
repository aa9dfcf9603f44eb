-- SPDX-License-Identifier: MIT
--
-- The Lua binding, function by function, on the small model that run.sh has
-- made in the folder "model". What options there are is read from their tables,
-- so that new ones are tested as well. The last line says how many checks there
-- were. With the argument "stress" the collector works all the time.

local dreambooth = require "dreambooth"

if ... == "stress" then
    local function collect()
        debug.sethook()
        collectgarbage()
        debug.sethook(collect, "", 200)
    end
    debug.sethook(collect, "", 200)
end

local passed, failed = 0, 0

local function check(what, holds, ...)
    if holds then
        passed = passed + 1
    else
        failed = failed + 1
        print("failed: " .. what, ...)
    end
end

local function equal(what, got, wanted)
    check(what, got == wanted, ("%s instead of %s"):format(tostring(got),
                                                         tostring(wanted)))
end

-- What failed must say PATTERN, and have the code of STATUS.
local function fails(what, status, pattern, got, text, code)
    check(what, got == nil and code == dreambooth.status[status] and
          tostring(text):find(pattern), tostring(got), text, code)
end

-- What raises an error must say PATTERN, and that it is in this file.
local function raises(what, pattern, run, ...)
    local done, text = pcall(run, ...)
    check(what, not done and text:find(pattern) and text:find "^[^:]*test.lua:",
          tostring(text))
end

-- The module ------------------------------------------------------------------

local status = dreambooth.status
equal("version", dreambooth.version, os.getenv "VERSION")
equal("status", status.EINVAL, -3)
equal("status by code", status[-3], "EINVAL")
equal("status of success", status.OK, 0)
equal("status of the end", status[1], "DONE")
check("build information", dreambooth.build_info "backends":find "reference")
fails("unknown build information", "ENOTFOUND", "colour",
      dreambooth.build_info "colour")
check("help", dreambooth.help "trainer":find "\nlearning%-rate +AdamW")

if jit and dreambooth.build_info "blas":find "OpenBLAS" then
    local ffi = require "ffi"
    ffi.cdef "int openblas_get_num_threads(void);"
    equal("threads of the BLAS",
          ffi.load "libdreambooth.so.0".openblas_get_num_threads(), 1)
end

local context = assert(dreambooth.context {threads = 2})
local other = assert(dreambooth.context())
local model = assert(context:open "model")
local tokenizer = assert(context:tokenizer "model")

-- Options, by their tables ----------------------------------------------------

local makers = {
    context = dreambooth.context,
    identifier = function(options) return model:identifier(options) end,
    sampler = function(options) return model:sampler(options) end,
    trainer = function(options) return model:trainer(options) end,
}

local read_default = {
    boolean = function(text) return text == "true" end,
    integer = tonumber,
    real = tonumber,
    text = function(text) return text end,
    choice = function(text) return text end,
}

-- Values that an option may take, of which some must do.
local function candidates(row)
    local by_type = {
        boolean = {true, false},
        integer = row.unit == "bytes" and {2 ^ 40, 2 ^ 53} or {3, 1, 0, 700},
        real = {0.1, 2.5e-7, 1 / 3, 1},
        text = {"\195\164 text", "reference"},
        choice = row.choices,
    }
    return by_type[row.type]
end

local function check_option(kind, object, row)
    local what = kind .. "." .. row.name
    local field = row.name:gsub("%-", "_")
    local default
    if row.default then
        default = read_default[row.type](row.default)
    elseif row.type == "boolean" then
        default = false
    end
    if type(object[field]) == "function" then
        equal(what .. " is hidden by a method", field, "steps")
    else
        equal(what .. " is the default", object[field], default)
    end
    equal(what .. " by get", object:get(row.name), default)
    check(what .. " has help and range", row.help and row.range)
    local taken = 0
    for _, value in ipairs(candidates(row)) do
        if object:set(field, value) then
            taken = taken + 1
            equal(what .. " as it was set", object:get(field), value)
        end
    end
    check(what .. " takes a value", taken > 0)
    if row.type == "text" and row.default == nil then
        object[field] = nil
        equal(what .. " is not set any more", object:get(field), nil)
    else
        fails(what .. " and a wrong value",
              row.type == "text" and "ENOTFOUND" or "EINVAL", "no such value",
              object:set(field, "no such value"))
        raises(what .. " by field, and a wrong value", "no such value",
               function()
            object[field] = "no such value"
        end)
    end
    fails(what .. " and a table", "EINVAL", "not to a table",
          object:set(field, {}))
end

for kind, make in pairs(makers) do
    local rows = dreambooth.options(kind)
    check(kind .. " has options", #rows > 2)
    local object = assert(make())
    for _, row in ipairs(rows) do
        check_option(kind, object, row)
    end
    fails("unknown option of " .. kind, "ENOTFOUND", "unknown option",
          object:set("colour", 3))
    fails("unknown option of a new " .. kind, "ENOTFOUND", "unknown option",
          make {colour = 3})
    fails("a " .. kind .. " made of a list", "ENOTFOUND", "unknown option",
          make {"colour"})
    fails("unknown field of " .. kind, "ENOTFOUND", "colour",
          object:get "colour")
    raises("setting an unknown field of " .. kind, "colour", function()
        object.colour = 3
    end)
    raises("reading an unknown field of " .. kind, "colour", function()
        print(object.colour)
    end)
    equal(kind .. " as a text", tostring(object), "dreambooth " .. kind)
    object:close()
    object:close()
    equal("closed " .. kind, tostring(object),
          "dreambooth " .. kind .. " (closed)")
    raises("using a closed " .. kind, "is closed", function()
        object:set("threads", 1)
    end)
end

do
    local sampler = assert(model:sampler {seed = "9007199254740991"})
    equal("a large seed", sampler.seed, 9007199254740991)
    sampler:set {seed = 2 ^ 53, guidance_scale = "2.5",
                 ["negative-prompt"] = "a"}
    equal("2^53", sampler.seed, 2 ^ 53)
    equal("real of a text", sampler.guidance_scale, 2.5)
    equal("dash and underscore", sampler["negative-prompt"],
          sampler.negative_prompt)
    check("help for spelling", select(2, sampler:set("guidance-scal", 1))
          :find "did you mean \"guidance%-scale")
end

for _, kind in ipairs {"context", "model", "sampler", "trainer"} do
    for _, row in ipairs(dreambooth.facts(kind)) do
        check("fact " .. row.name .. " has help", row.help and row.type)
    end
end

-- Wrong use -------------------------------------------------------------------

fails("a model that is not there", "ENOTFOUND", "nowhere",
      context:open "nowhere")
fails("no folder", "EINVAL", "folder", context:open())
fails("a damaged image", "EFORMAT", "broken",
      context:image_decode("broken bytes", "broken"))
fails("an image that is not there", "ENOTFOUND", "nowhere",
      context:image_read "nowhere")
raises("a method without its object", "context expected, got nil", function()
    print(context.open())
end)
raises("a method of another class", "model expected, got dreambooth context",
       function()
    print(model.save(context))
end)
raises("an image that is none", "image expected, got 3", function()
    context:image_sheet {3}
end)
raises("an image of another context", "another context", function()
    context:image_sheet {assert(other:image_new(2, 2))}
end)
raises("a field of an image", "image has no field", function()
    print(context:image_new(2, 2).depth)
end)

-- Images ----------------------------------------------------------------------

do
    local bytes = ("abc"):rep(6)
    local image = assert(context:image_new(3, 2, bytes))
    equal("width", image.width, 3)
    equal("height", image.height, 2)
    equal("pixels as a string", image:tostring(), bytes)
    if jit then
        equal("a pixel", image.pixels[1], ("b"):byte())
        image.pixels[0] = 255
        equal("a pixel that was set", image:tostring():byte(), 255)
    else
        equal("pixels", image.pixels, bytes)
    end
    check("written", image:write("image.png", {prompt = "three", seed = 7}))
    local again = assert(context:image_read "image.png")
    equal("and read", again:tostring(), image:tostring())
    local file = assert(io.open("image.png", "rb"))
    local contents = file:read "*a"
    file:close()
    check("with its texts", contents:find "prompt%zthree" or
          contents:find "prompt\0three")
    equal("and decoded", assert(context:image_decode(contents)):tostring(),
          image:tostring())
    equal("black", context:image_new(2, 1):tostring(), ("\0"):rep(6))
    equal("a square", image:square(2).width, 2)
    equal("a sheet", context:image_sheet({image, image}, 2, 1).width, 9)
    raises("too few pixels", "take 18 bytes, not 3", function()
        context:image_new(3, 2, "abc")
    end)
    fails("no pixels", "EINVAL", "", context:image_new(0, 2))
    fails("an empty sheet", "EINVAL", "", context:image_sheet {})
    fails("a folder that is not there", "ENOTFOUND", "nowhere",
          image:write "nowhere/image.png")
end

-- Tokens and identifiers ------------------------------------------------------

do
    local ids = assert(tokenizer:encode "a robot")
    equal("two ids", #ids, 2)
    equal("and back", tokenizer:decode(ids), "a robot ")
    equal("a token", tokenizer:token(ids[2]), "robot</w>")
    equal("no token", tokenizer:token(-1), nil)
    equal("no ids", #assert(tokenizer:encode ""), 0)
    equal("with a NUL", #assert(tokenizer:encode "a\0b") > 1, true)
    fails("an id that is none", "EINVAL", "", tokenizer:decode {1000000})
    local padded, dropped = tokenizer:encode_padded "a robot"
    equal("padded", #padded, tokenizer.prompt_length)
    equal("none dropped", dropped, 0)
    padded, dropped = tokenizer:encode_padded("a robot", 3)
    equal("too short", #padded, 3)
    equal("one dropped", dropped, 1)
    equal("vocabulary", tokenizer.vocabulary_size, 768)

    local identifier = assert(model:identifier {count = 2, seed = 3})
    local picks = assert(identifier:pick())
    equal("two identifiers", #picks, 2)
    local pick = picks[1]
    check("explained", pick.explanation:find(pick.word, 1, true))
    check("with a prior", pick.prior >= 0)
    equal("with ids", tokenizer:token(pick.ids[1]), pick.word .. "</w>")
    equal("a good word", identifier:check(pick.word), "")
    check("a bad word", identifier:check "robot":find "common")
    local without = assert(tokenizer:identifier {seed = 3})
    equal("without a model", assert(without:pick())[1].prior, -1)
    without.count = 10000
    fails("too many", "EINVAL", "", without:pick())
end

-- Models ----------------------------------------------------------------------

do
    equal("path", model.path, "model")
    equal("size", model.size, 64)
    equal("a part", model["part.1.name"] or model.parts, "unet")
    check("its size", model["part.1.bytes"] > 10000)
    equal("no such part", model["part.99.name"], nil)
    equal("no record", model["record.identifier"], nil)
    equal("of a trained model",
          assert(context:describe "whole")["record.steps"] ~= nil, true)
    raises("an unknown fact", "colour", function()
        print(model.colour)
    end)
    raises("setting a fact", "has no options", function()
        model.size = 3
    end)
    check("saved", model:save("half", "f16"))
    equal("in half precision", context:describe "half"["part.1.precision"],
          "F16")
    fails("of no precision", "EINVAL", "f8", model:save("eighth", "f8"))
    local described = assert(context:describe "model")
    fails("no sampler of a described one", "ESTATE", "", described:sampler())
    local new = assert(context:init(os.getenv "SRC_DIR" .. "/doc/demo/config",
                                    "vocabulary", 5))
    check("a new one", new:save "new")
end

-- Drawing ---------------------------------------------------------------------

do
    local sampler = assert(model:sampler {prompt = "a robot", steps = 3,
                                          size = 32, count = 2, seed = 4})
    equal("no step yet", sampler:get "step", 0)
    fails("no image yet", "ESTATE", "", sampler:image(1))
    fails("nothing to see yet", "ESTATE", "", sampler:preview(1))
    local steps = {}
    for step, total in sampler:steps() do
        steps[#steps + 1] = step
        equal("of six", total, 6)
        if step == 1 then
            equal("a preview", assert(sampler:preview()).width, 32)
            fails("not finished", "ESTATE", "", sampler:image(2))
            raises("options are settled", "started", function()
                sampler.prompt = "a dog"
            end)
        end
    end
    equal("steps", table.concat(steps, " "), "1 2 3 4 5 6")
    equal("the end", sampler:step(), false)
    local values, shape = sampler:latents()
    equal("latents", table.concat(shape, " "), "1 4 8 8")
    equal("all of them", #values, 256)
    check("of numbers", math.abs(values[1]) < 100)
    local first, second, none = assert(sampler:run())
    equal("two images", none, nil)
    check("that differ", first:tostring() ~= second:tostring())
    equal("by number", sampler:image(2):tostring(), second:tostring())
    fails("no third", "ESTATE", "image 3 is not", sampler:image(3))
    fails("nor to be written", "ESTATE", "image 3 is not",
          sampler:write("third.png", 3))
    raises("none before the first", "counted from 1", function()
        print(sampler:image(0))
    end)
    local impossible = assert(model:sampler {prompt = "a", size = 33})
    fails("an impossible size", "EINVAL", "33", impossible:run())
    raises("in a loop", "33", function()
        for step in impossible:steps() do
            print(step)
        end
    end)
end

do -- what run.sh compares with the command's
    local trained = assert(context:open "whole")
    check("the word", #trained["record.identifier"] > 0)
    local sampler = assert(trained:sampler {prompt = "a [V] robot", steps = 4,
                                            size = 32, seed = 7})
    assert(sampler:run())
    check("written with its settings", sampler:write "binding.png")
end

-- Training --------------------------------------------------------------------

do
    local trainer = assert(model:trainer {instance_prompt = "a [V] robot",
                                          steps = 3, size = 32})
    equal("no step", trainer:get "step", 0)
    fails("no photos", "EINVAL", "photos", trainer:prepare())
    raises("no photos, in a loop", "photos", function()
        for step in trainer:steps() do
            print(step)
        end
    end)
    check("plan", trainer:plan())
    check("memory", trainer.plan_memory > 1e6)
    equal("by its full name", trainer["plan.memory"], trainer.plan_memory)
    equal("a boolean", type(trainer.plan_recompute), "boolean")
    check("a photo", trainer:add(assert(context:image_new(40, 40))))
    raises("a photo of another context", "another context", function()
        trainer:add(other:image_new(40, 40))
    end)
    context:cancel()
    fails("cancelled", "ECANCELLED", "", trainer:step())
    context:clear_cancel()
    equal("goes on", trainer:step(), true)
    local before = trainer.loss
    for step, facts in trainer:steps() do
        equal("the facts of a step", facts.step, step)
        equal("and fields", trainer["loss.instance"], trainer.loss_instance)
        equal("are the same", facts.loss, trainer.loss)
    end
    check("the loss is another", trainer.loss ~= before)
    equal("all exact", trainer.loss, trainer.loss_instance)
    equal("the end", trainer:step(), false)
    check("and run", trainer:run())
    fails("no folder to keep it in", "ESTATE", "out", trainer:checkpoint())
    local texts = {}
    for level, text in context:log() do
        texts[#texts + 1] = level .. ": " .. text
    end
    check("told of the identifier", table.concat(texts, "\n")
          :find "info: identifier ")
    equal("all told", context:next_log(), nil)
end

-- The collector ---------------------------------------------------------------

tokenizer:close()
model = nil -- luacheck: ignore

-- Whatever is forgotten or closed first, what was made of it stays whole.
for round = 1, 20 do
    local mine = assert(dreambooth.context())
    local opened = assert(mine:open "model")
    local sampler = assert(opened:sampler {prompt = "a", steps = 1, size = 16})
    local identifier = assert(assert(mine:tokenizer "model"):identifier())
    if round % 3 == 0 then
        mine:close()
    elseif round % 3 == 1 then
        opened:close()
    end
    mine, opened = nil, nil -- luacheck: ignore
    collectgarbage()
    local image = assert(sampler:run())
    sampler = nil -- luacheck: ignore
    collectgarbage()
    local pixels = image.pixels
    image = nil -- luacheck: ignore
    collectgarbage()
    check("pixels stay", pixels ~= nil and (not jit or pixels[767] <= 255))
    check("and so do tokens", identifier:check "robot":find "common")
end

do
    local mine = assert(dreambooth.context())
    local trainer = assert(assert(mine:open "model"):trainer())
    mine:close()
    fails("without a context to ask", "EINVAL", "^DREAMBOOTH_EINVAL$",
          trainer:set("steps", "x"))
    trainer = nil -- luacheck: ignore
end

do -- images that are forgotten do not pile up
    local before = other.memory_live
    for _ = 1, 200 do
        assert(other:image_new(512, 512))
    end
    check("memory of images", other.memory_peak - before < 20e6,
          other.memory_peak)
    collectgarbage()
    collectgarbage()
    check("all given back", other.memory_live - before < 100,
          other.memory_live, before)
end
collectgarbage()
collectgarbage()
check("and of models", context.memory_live < 10000, context.memory_live)

print(("%d passed, %d failed"):format(passed, failed))
os.exit(failed == 0 and 0 or 1, true)
