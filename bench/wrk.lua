-- Unique entries of 112 bytes; one JSON line at the end.
local run = string.format("%08x", os.time() % 0x100000000)
local count = 0
local head
local filler = string.rep("-", 112 - 8 - 12 - 2)

function init(args)
  head = "POST " .. wrk.path .. " HTTP/1.1\r\nHost: " .. wrk.host .. ":" .. wrk.port .. "\r\nContent-Length: 112\r\n\r\n"
end

function request()
  count = count + 1
  return head .. run .. string.format(" %012d ", count) .. filler
end

function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    'summary {"requests":%d,"duration_us":%d,"p50_us":%d,"p99_us":%d,"max_us":%d,"failed":%d}\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), latency.max,
    e.connect + e.read + e.write + e.status + e.timeout))
end
