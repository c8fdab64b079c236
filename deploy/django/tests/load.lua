-- wrk sends the requests of a file, each once. Python wrote them: a line with the number of bytes,
-- then the bytes. Each thread has a file of its own, and stops when so many were answered; what
-- other connections have sent by then may be handled without an answer.

local threads = 0

function setup(thread)
    thread:set("nth", threads)
    threads = threads + 1
end

function init(arguments)
    file = assert(io.open(os.getenv("LOAD_FILES") .. nth, "rb"))
    wanted = tonumber(file:read("*l"))
    answered = 0
end

function request()
    local length = assert(file:read("*l"), "more connections broke than there are spare requests")
    return file:read(tonumber(length))
end

function response()
    answered = answered + 1
    if answered == wanted then
        io.stdout:write("answered " .. answered .. "\n")
        io.stdout:flush()
        wrk.thread:stop()
    end
end
