-- Requests of Sigstore's clients, signed beforehand: each line of the file FILE is a body. Without a file, reads of random entries.
local bodies = {}
local count = 0
local head

function init(args)
  local file = args[1]
  entries = tonumber(args[2] or "0")
  if file ~= "-" then
    for line in io.lines(file) do bodies[#bodies + 1] = line end
  end
  math.randomseed(os.time())
  head = " HTTP/1.1\r\nHost: " .. wrk.host .. ":" .. wrk.port .. "\r\n"
end

function request()
  if #bodies == 0 then
    return "GET " .. wrk.path .. "?logIndex=" .. math.random(0, entries - 1) .. head .. "\r\n"
  end
  count = count % #bodies + 1
  local body = bodies[count]
  return "POST " .. wrk.path .. head .. "Content-Type: application/json\r\nContent-Length: " .. #body .. "\r\n\r\n" .. body
end

function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    'summary {"requests":%d,"duration_us":%d,"p50_us":%d,"p99_us":%d,"max_us":%d,"failed":%d}\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99), latency.max,
    e.connect + e.read + e.write + e.status + e.timeout))
end
