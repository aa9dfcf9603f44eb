-- SPDX-License-Identifier: MIT
--
-- libdreambooth for Lua: teach an image model a subject from a few photos, and
-- draw with it. The objects are made here, for every Lua, of functions that are
-- LuaJIT's FFI's (dreambooth/ffi.lua) or a C module's (dreambooth/core.c).
--
-- What can fail gives nil, a text and a code. Options and facts are fields that
-- come from the library's tables; few of them are known here.

if jit then
    jit.off(true, true) -- compiled code never looks for Ctrl-C
end

local function load_core()
    if jit then
        return require "dreambooth.ffi"
    end
    local library = os.getenv "DREAMBOOTH_LIBRARY"
    if library and library ~= "" then
        -- It is then the one that core finds.
        local _, text, why = package.loadlib(library, "*")
        if why == "open" then
            error(text)
        end
    end
    return require "dreambooth.core"
end

local core = load_core()
local unpack = table.unpack or unpack

local dreambooth = {version = core.version(), status = {}}

-- status.EINVAL is -3, status[-3] is "EINVAL".
do
    local code, name = 1, core.status_name(1)
    while name ~= "unknown status" do
        name = name:gsub("^DREAMBOOTH_", "")
        dreambooth.status[name], dreambooth.status[code] = code, name
        code = code - 1
        name = core.status_name(code)
    end
end
local OK = dreambooth.status.OK

function dreambooth.build_info(field)
    local status, text = core.build_info(field)
    if status < OK then
        return nil, "no build information called " .. field, status
    end
    return text
end

-- Tables of options and facts -------------------------------------------------

local option_fields = {"name", "type", "range", "choices", "default",
                       "placeholder", "unit", "help", "advanced"}
local fact_fields = {"name", "type", "unit", "help"}

local function read_table(ask, kind, fields)
    local rows = {}
    while ask(kind, #rows, "name") == OK do
        local row = {}
        for _, field in ipairs(fields) do
            local _, text = ask(kind, #rows, field)
            row[field] = text ~= "" and text or nil
        end
        rows[#rows + 1] = row
    end
    return rows
end

-- The options of "context", "identifier", "sampler" or "trainer".
function dreambooth.options(kind)
    local rows = read_table(core.option_info, kind, option_fields)
    for _, row in ipairs(rows) do
        local choices = {}
        for choice in (row.choices or ""):gmatch "%S+" do
            choices[#choices + 1] = choice
        end
        row.choices = row.choices and choices
        row.advanced = row.advanced == "yes"
    end
    return rows
end

-- The facts of "context", "model", "sampler" or "trainer".
function dreambooth.facts(kind)
    return read_table(core.fact_info, kind, fact_fields)
end

-- The options and facts of a kind of object as a text for people.
function dreambooth.help(kind)
    local lines = {}
    for _, rows in ipairs {dreambooth.options(kind), dreambooth.facts(kind)} do
        for _, row in ipairs(rows) do
            local default = row.default and (" [%s]"):format(row.default)
            lines[#lines + 1] = ("%-24s %s"):format(row.name, row.help) ..
                                (default or "")
        end
    end
    return table.concat(lines, "\n")
end

-- '_', '-' and '.' are the same in the names of fields.
local function plain(field)
    return (field:gsub("[-.]", "_"))
end

-- Rows by plain name; those with an N or KEY in them stand in a list, with the
-- pattern of the names that they are for.
local function index_rows(kind)
    local index = {patterns = {}, facts = dreambooth.facts(kind)}
    for _, rows in ipairs {index.facts, dreambooth.options(kind)} do
        for _, row in ipairs(rows) do
            local pattern = row.name:gsub("%p", "%%%0"):gsub("%f[%u]N%f[%W]",
                                "%%d+"):gsub("KEY", ".+")
            if row.name:find "%u" then
                index.patterns["^" .. pattern .. "$"] = row
            else
                index[plain(row.name)] = row
            end
        end
    end
    return index
end

local indices = setmetatable({}, {
    __index = function(self, kind)
        self[kind] = index_rows(kind)
        return self[kind]
    end,
})

-- The row of a field and its name in the library.
local function row_of(kind, field)
    local row = indices[kind][plain(field)]
    if row then
        return row, row.name
    end
    for pattern, candidate in pairs(indices[kind].patterns) do
        if field:find(pattern) then
            return candidate, field
        end
    end
    return nil, field
end

-- A number, or its text where the number would not be exact.
local function integer(text)
    local number = tonumber(text)
    local again = math.type and tostring(number) or ("%.0f"):format(number)
    return again == text and number or text
end

local from_text = {
    boolean = function(text)
        return text == "true" or text == "1"
    end,
    integer = integer,
    real = tonumber,
}

local function value_of(row, text)
    if text == "" then
        return nil
    end
    local read = row and from_text[row.type]
    if read then
        return read(text)
    end
    return text
end

-- The shortest text of a number that reads as the same number.
local function real_text(number)
    local text
    for digits = 15, 17 do
        text = ("%." .. digits .. "g"):format(number):gsub(",", ".")
        if tonumber(text) == number then
            break
        end
    end
    return text
end

local to_text = {
    ["nil"] = function() end,
    string = tostring,
    boolean = tostring,
    integer = tostring,
    number = real_text,
    float = real_text,
    cdata = function(value) -- LuaJIT's 12ULL
        return (tostring(value):gsub("U?LL$", ""))
    end,
}

-- What an option is set to.
local function text_of(value)
    local write = to_text[math.type and math.type(value) or type(value)]
    if write then
        return true, write(value)
    end
    return false, "an option is set to a text, number or boolean, not to a " ..
                  type(value)
end

-- Objects ---------------------------------------------------------------------

local HANDLE, CONTEXT = {}, {} -- where an object keeps its two secrets
local classes = {}

local function failure(object, status)
    local context = rawget(object, CONTEXT)
    local handle = context and rawget(context, HANDLE)
    local text = handle and core.context_error(handle)
    if text == nil or text == "" then
        text = core.status_name(status)
    end
    return nil, text, status
end

-- What a status means to a caller: the error; or what else came with it; or
-- true, and false when there is nothing left to do.
local function result(object, status, ...)
    if status < OK then
        return failure(object, status)
    elseif select("#", ...) > 0 then
        return ...
    end
    return status == OK
end

local function handle_of(object, kind, level)
    if type(object) ~= "table" or getmetatable(object) ~= classes[kind] then
        error(kind .. " expected, got " .. tostring(object), level + 1)
    end
    local handle = rawget(object, HANDLE)
    if handle == nil then
        error("the " .. kind .. " is closed", level + 1)
    end
    return handle
end

-- Wraps a handle that came with STATUS; CONTEXT is nil for a context itself.
local function wrap(kind, context, options, status, handle)
    local object = {[HANDLE] = handle}
    object[CONTEXT] = context or object
    if status < OK then
        return failure(object, status)
    end
    setmetatable(object, classes[kind])
    if options then
        local done, text, why = object:set(options)
        if not done then
            object:close()
            return nil, text, why
        end
    end
    return object
end

-- The same for what is made of PARENT.
local function make(kind, parent, options, status, handle)
    return wrap(kind, rawget(parent, CONTEXT), options, status, handle)
end

-- The collector does not see how large models and images are. So it looks for
-- models that are not used any more before one is made, and works as much as an
-- image is large after that is made.
local function make_model(parent, call, ...)
    collectgarbage()
    return make("model", parent, nil, call(...))
end

local function make_image(parent, status, handle)
    if status == OK then
        local pixels = core.image_width(handle) * core.image_height(handle)
        collectgarbage("step", math.ceil(pixels * 3 / 1024))
    end
    return make("image", parent, nil, status, handle)
end

local function set_all(object, options)
    local names = {}
    for field in pairs(options) do
        names[#names + 1] = field
    end
    table.sort(names, function(a, b)
        return tostring(a) < tostring(b)
    end)
    for _, field in ipairs(names) do
        local done, text, why = object:set(field, options[field])
        if not done then
            return nil, text, why
        end
    end
    return true
end

local option_methods = {}

function option_methods.get(kind)
    return function(self, handle, field)
        local row, full_name = row_of(kind, tostring(field))
        local status, text = core[kind .. "_get_text"](handle, full_name)
        if status < OK then
            return failure(self, status)
        end
        return value_of(row, text)
    end
end

-- One option, or a table of them.
function option_methods.set(kind)
    local set = core[kind .. "_set"]
    return set and function(self, handle, field, value)
        if type(field) == "table" then
            return set_all(self, field)
        end
        local _, full_name = row_of(kind, tostring(field))
        local fits, text = text_of(value)
        if not fits then
            return nil, text, dreambooth.status.EINVAL
        end
        return result(self, set(handle, full_name, text))
    end
end

-- The facts that there are at present, by their names in the library.
function option_methods.facts(kind)
    return function(self)
        local facts = {}
        for _, row in ipairs(indices[kind].facts) do
            facts[row.name] = self:get(row.name)
        end
        return facts
    end
end

-- Reading and setting fields. A field that the table has, but the object has
-- not yet, is nil; one that is unknown is an error.

local function read_field(kind, object, field)
    if type(field) ~= "string" then
        return nil
    elseif not object.get then
        error(kind .. " has no field " .. field, 3)
    end
    local value, text = object:get(field)
    if text and not row_of(kind, field) then
        error(text, 3)
    end
    return value
end

local function write_field(kind, object, field, value)
    if not object.set then
        error(kind .. " has no options", 3)
    end
    local done, text = object:set(field, value)
    if not done then
        error(text, 3)
    end
end

-- Keeps a call from being a tail call, so that errors find the caller's line.
local function pass(...)
    return ...
end

-- A class of objects: METHODS get the object, its handle and what they were
-- called with; FIELDS get the handle.
local function class(kind, methods, fields)
    local metatable = {__name = "dreambooth " .. kind}
    local callable = {}
    classes[kind] = metatable
    if core[kind .. "_get_text"] then
        for name, bind in pairs(option_methods) do
            methods[name] = bind(kind)
        end
    end
    for name, method in pairs(methods) do
        callable[name] = function(self, ...)
            return pass(method(self, handle_of(self, kind, 2), ...))
        end
    end
    callable.set, callable.get = callable.set or false, callable.get or false
    function callable.close(self)
        local handle = rawget(self, HANDLE)
        rawset(self, HANDLE, nil)
        if handle then
            core[kind .. "_free"](handle)
        end
    end
    metatable.__close = callable.close

    function metatable.__index(self, field)
        if callable[field] ~= nil then
            return callable[field]
        elseif fields and fields[field] then
            return fields[field](handle_of(self, kind, 2))
        end
        local value = read_field(kind, self, field)
        return value
    end

    function metatable.__newindex(self, field, value)
        write_field(kind, self, field, value)
    end

    function metatable.__tostring(self)
        return metatable.__name .. (rawget(self, HANDLE) and "" or " (closed)")
    end
end

-- The method that is a function of the library, and no more.
local function plainly(function_name)
    local call = core[function_name]
    return function(self, handle, ...)
        return result(self, call(handle, ...))
    end
end

-- The method that makes a KIND, with options as its argument.
local function makes(kind, function_name)
    local call = core[function_name]
    return function(self, handle, options)
        return make(kind, self, options, call(handle))
    end
end

-- Lua counts a sampler's images from 1, the library from 0.
local function place_of(index)
    index = index or 1
    if type(index) ~= "number" or index < 1 then
        error("images are counted from 1, not from " .. tostring(index), 4)
    end
    return index - 1
end

local function counted_from_1(index, value, text, why)
    if text then
        text = text:gsub("^image %d+", "image " .. (index or 1))
    end
    return value, text, why
end

local function takes_image(function_name)
    local call = core[function_name]
    return function(self, handle, index)
        local status, image = call(handle, place_of(index))
        return counted_from_1(index, make_image(self, status, image))
    end
end

-- The handle of an image that is joined with OBJECT.
local function image_of(object, image)
    local handle = handle_of(image, "image", 4)
    if rawget(image, CONTEXT) ~= rawget(object, CONTEXT) then
        error("the image is of another context", 4)
    end
    return handle
end

class("image", {
    -- What training makes of a photo.
    square = function(self, handle, size)
        return make_image(self, core.image_square(handle, size))
    end,
    -- A PNG file, with TEXTS as its text chunks.
    write = function(self, handle, path, texts)
        local keys, values = {}, {}
        for key in pairs(texts or {}) do
            keys[#keys + 1] = key
        end
        table.sort(keys)
        for i, key in ipairs(keys) do
            values[i] = tostring(texts[key])
        end
        return result(self, core.image_write(handle, path, keys, values))
    end,
    -- The pixels as a string.
    tostring = function(_, handle)
        return core.image_string(handle)
    end,
}, {
    width = core.image_width,
    height = core.image_height,
    pixels = core.image_pixels, -- a pointer in LuaJIT, elsewhere a string
})

class("tokenizer", {
    encode = plainly "tokenizer_encode",
    -- As the text encoder takes it; also how many ids were too many.
    encode_padded = function(self, handle, text, length)
        length = length or core.tokenizer_prompt_length(handle)
        return result(self, core.tokenizer_encode_padded(handle, text, length))
    end,
    decode = plainly "tokenizer_decode",
    token = function(_, handle, id)
        return core.tokenizer_token(handle, id)
    end,
    identifier = makes("identifier", "identifier_new"),
}, {
    vocabulary_size = core.tokenizer_vocabulary_size,
    prompt_length = core.tokenizer_prompt_length,
})

class("identifier", {
    -- A list of "count" picks.
    pick = function(self, handle)
        local status = core.identifier_pick(handle)
        if status < OK then
            return failure(self, status)
        end
        local picks = {}
        for i = 1, core.identifier_count(handle) do
            picks[i] = {
                word = core.identifier_word(handle, i - 1),
                explanation = core.identifier_explanation(handle, i - 1),
                ids = core.identifier_ids(handle, i - 1),
                prior = core.identifier_prior(handle, i - 1),
            }
        end
        return picks
    end,
    -- A line for each thing that speaks against a word.
    check = plainly "identifier_check",
})

class("model", {
    save = plainly "model_save",
    sampler = makes("sampler", "sampler_new"),
    trainer = makes("trainer", "trainer_new"),
    identifier = makes("identifier", "identifier_new_for_model"),
})

class("sampler", {
    -- True while there is more to do.
    step = plainly "sampler_step",
    -- for step, total in sampler:steps() do
    steps = function(self)
        local more = true
        return function()
            if not more then
                return nil
            end
            local text
            more, text = self:step()
            if more == nil then
                error(text, 2)
            end
            return self:get "step", self:get "total-steps"
        end
    end,
    -- All the steps that are left; gives the images.
    run = function(self, handle)
        local status = core.sampler_run(handle)
        if status < OK then
            return failure(self, status)
        end
        local images = {}
        for i = 1, self.count do
            local image, text, why = self:image(i)
            if not image then
                return nil, text, why
            end
            images[i] = image
        end
        return unpack(images)
    end,
    image = takes_image "sampler_image",
    preview = takes_image "sampler_preview",
    -- A PNG file that tells prompt, seed, settings and model.
    write = function(self, handle, path, index)
        local status = core.sampler_write(handle, place_of(index), path)
        return counted_from_1(index, result(self, status))
    end,
    -- A flat list, and the list of its sizes: images, channels, height, width.
    latents = plainly "sampler_latents",
})

class("trainer", {
    -- A folder of photos, or an image.
    add = function(self, handle, photo)
        if type(photo) == "string" then
            return result(self, core.trainer_add_folder(handle, photo))
        end
        return result(self, core.trainer_add_image(handle,
                                                   image_of(self, photo)))
    end,
    plan = plainly "trainer_plan",
    -- True while there is more to prepare.
    prepare = plainly "trainer_prepare",
    -- for done, total in trainer:preparation() do: a turn a class image
    preparation = function(self)
        local before = 0
        return function()
            local more, text, done
            repeat
                more, text = self:prepare()
                done = self:get "class-images.done"
            until not more or done > before
            if more == nil then
                error(text, 2)
            elseif more then
                before = done
                return done, done + self:get "class-images.missing"
            end
        end
    end,
    -- True when a step was taken, false when there was none left.
    step = plainly "trainer_step",
    -- for step, facts in trainer:steps() do
    steps = function(self)
        return function()
            local taken, text = self:step()
            if taken == nil then
                error(text, 2)
            elseif taken then
                return self:get "step", self:facts()
            end
        end
    end,
    run = plainly "trainer_run",
    checkpoint = plainly "trainer_checkpoint",
})

local levels = {[0] = "debug", "info", "warning"}

class("context", {
    open = function(self, handle, folder)
        return make_model(self, core.model_open, handle, folder)
    end,
    describe = function(self, handle, path)
        return make("model", self, nil, core.model_describe(handle, path))
    end,
    -- TOKENIZER, a folder, may be nil; SEED is 0 by default.
    init = function(self, handle, config, tokenizer, seed)
        return make_model(self, core.model_init, handle, config, tokenizer,
                          seed or 0)
    end,
    tokenizer = function(self, handle, folder)
        return make("tokenizer", self, nil,
                    core.tokenizer_open(handle, folder))
    end,
    image_read = function(self, handle, path)
        return make_image(self, core.image_read(handle, path))
    end,
    -- From the BYTES of a file; NAME stands in messages.
    image_decode = function(self, handle, bytes, name)
        return make_image(self, core.image_decode(handle, name or "image",
                                                  bytes))
    end,
    -- PIXELS is a string; black without it.
    image_new = function(self, handle, width, height, pixels)
        if type(pixels) == "string" and #pixels ~= width * height * 3 then
            error(("%d x %d pixels take %d bytes, not %d"):format(
                width, height, width * height * 3, #pixels), 3)
        end
        return make_image(self, core.image_new(handle, width, height, pixels))
    end,
    image_sheet = function(self, handle, images, columns, margin)
        local handles = {}
        for i, image in ipairs(images) do
            handles[i] = image_of(self, image)
        end
        return make_image(self, core.image_sheet(handle, handles, columns or 0,
                                                 margin or 4))
    end,
    -- The oldest line of the log that was not read yet: level and text.
    next_log = function(_, handle)
        local status, level, text = core.context_next_log(handle)
        if status == OK then
            return levels[level], text
        end
    end,
    -- for level, text in context:log() do
    log = function(self)
        return self.next_log, self
    end,
    cancel = function(_, handle)
        core.context_cancel(handle)
    end,
    clear_cancel = function(_, handle)
        core.context_clear_cancel(handle)
    end,
})

-- A context with OPTIONS, a table; everything else is made in one.
function dreambooth.context(options)
    return wrap("context", nil, options, core.context_new())
end

return dreambooth
