-- Requests of wrk, PIPELINE of them written at once; at the end one line of JSON.
local depth = tonumber(os.getenv("PIPELINE") or "1")
local batch

function init(args)
    local one = wrk.format("GET", wrk.path)
    batch = string.rep(one, depth)
end

function request()
    return batch
end

function done(summary, latency, requests)
    local e = summary.errors
    io.write(string.format('{"requests":%d,"us":%d,"errors":%d,"p50_us":%d,"p99_us":%d,"max_us":%d}\n', summary.requests,
        summary.duration, e.connect + e.read + e.write + e.status + e.timeout, latency:percentile(50), latency:percentile(99),
        latency.max))
end
