// What it says about its work, and that saying it never holds the work up.
import Foundation
import Testing

@Suite(.serialized)
struct LogTests {
  @Test func oneLineTellsTheStoryOfAConnection() throws {
    let target = try Target()
    try withSidecar(to: target) { sidecar in
      let (client, upstream) = try sidecar.connect(to: target)
      try client.send("12345")
      try upstream.expect("12345")
      try upstream.send("123")
      try client.expect("123")
      let port = client.socket.localPort
      upstream.close()
      try client.expect(.closed)
      client.close()
      let line = try sidecar.waitForLine("connection ended")
      #expect(line.message == "connection ended")
      #expect(line.level == "info")
      #expect(line["connection"] == "1")
      #expect(line["client"] == "127.0.0.1:\(port)")
      #expect(line["target"] == "127.0.0.1:\(target.port)")
      #expect(line["to_target_bytes"] == "5")
      #expect(line["to_client_bytes"] == "3")
      #expect(line.number("connect_ms") != nil)
      #expect(line.number("duration_ms") != nil)
      #expect(line["ended_by"] == "target")
      #expect(line["reason"] == "closed")
    }
  }

  @Test(arguments: [
    ("error", []), ("warn", []),
    (
      "info",
      [
        "listening", "sandbox on", "sidecar ", "connection ended", "draining", "drained", "stopped",
      ]
    ),
    ("debug", ["listening", "connection opened", "connection ended"]),
  ])
  func theLevelDecidesWhatIsSaid(level: String, messages: [String]) throws {
    let target = try Target()
    let sidecar = try Sidecar([
      "TARGET_HOST": "127.0.0.1", "TARGET_PORT": String(target.port), "LOG_LEVEL": level,
    ])
    defer { sidecar.process.kill() }
    let client = try sidecar.connectAsSoonAsItListens()
    let upstream = try target.accept()
    try pingPong(client, upstream)
    let during = try sidecar.process.openDescriptors()["socket"] ?? 0
    client.close()
    upstream.close()
    try sidecar.process.waitForSockets(during - 2)
    try sidecar.stop()
    for message in messages { #expect(sidecar.count(of: message) == 1, "\(message)") }
    if messages.isEmpty { #expect(sidecar.log.isEmpty) }
    if level == "info" { #expect(sidecar.log.count == messages.count) }
  }

  @Test func everyJSONLineIsAnObject() throws {
    let target = try Target()
    try withSidecar(
      to: target, ["LOG_FORMAT": "json", "LOG_LEVEL": "debug", "CONNECT_TIMEOUT": "100ms"]
    ) { sidecar in
      let (client, upstream) = try sidecar.connect(to: target)
      try pingPong(client, upstream)
      client.close()
      upstream.close()
      try target.goSilent()
      try sidecar.connect().expect(.reset)
      try sidecar.stop()
      let objects = try sidecar.process.output.lines.map { line in
        let object = try JSONSerialization.jsonObject(with: Data(line.utf8))
        return try #require(object as? [String: Any])
      }
      for object in objects {
        #expect(object["time"] is String && object["level"] is String)
      }
      let messages = objects.compactMap { $0["message"] as? String }
      #expect(messages.count == objects.count)
      let ended = try #require(objects.first { $0["message"] as? String == "connection ended" })
      #expect(ended["connection"] as? Int == 1)
      #expect(ended["to_target_bytes"] as? Int == 7)
      #expect(ended["duration_ms"] is Double)
      #expect(ended["target"] as? String == "127.0.0.1:\(target.port)")
      #expect(messages.contains { $0.hasPrefix("connection failed: ") })
    }
  }
}

@Suite(.serialized)
struct LogPipeTests {
  /// Nobody reads the log: bytes go on moving, memory stays bounded, and once somebody reads again,
  /// what could not be kept is counted, exactly.
  @Test func aFullPipeDoesNotStallForwarding() throws {
    let target = try Target()
    let stream = TestBytes(seed: 80)
    let connections = 3000
    try withSidecar(to: target, ["LOG_LEVEL": "debug"]) { sidecar in
      sidecar.process.output.pause()
      for _ in 0..<connections {
        let (client, upstream) = try sidecar.connect(to: target)
        try client.send("x")
        client.close()
        try upstream.expect("x")
      }
      let (client, upstream) = try sidecar.connect(to: target)
      try atTheSameTime(
        { try client.sendAll(stream, count: 8 * mebibyte) },
        { try upstream.expectAll(stream, count: 8 * mebibyte) })
      client.close()
      upstream.close()
      sidecar.process.output.resume()
      try sidecar.waitForLine("log lines lost")
      try sidecar.stop()
      let lost = sidecar.log.compactMap { $0.number("lost") }.reduce(0, +)
      let said = sidecar.count(of: "connection opened") + sidecar.count(of: "connection ended")
      #expect(said + Int(lost) == 2 * (connections + 1))
      #expect(sidecar.log.allSatisfy { $0.level != "" }, "no line is cut")
    }
  }

  @Test func aClosedPipeDoesNotEndIt() throws {
    let target = try Target()
    try withSidecar(to: target) { sidecar in
      sidecar.process.output.hangUp()
      for _ in 0..<50 {
        let (client, upstream) = try sidecar.connect(to: target)
        try pingPong(client, upstream)
      }
    }
  }

  /// Started without standard descriptors: the numbers 0, 1 and 2 are then the next to be given
  /// out, and a log line must not end up in a socket.
  @Test func missingStandardDescriptorsDoNoHarm() throws {
    let target = try Target()
    let settings = ["TARGET_HOST": "127.0.0.1", "TARGET_PORT": String(target.port)]
    let sidecar = try Sidecar(settings, streams: .closed)
    defer { sidecar.process.kill() }
    var client = try sidecar.connectAsSoonAsItListens()
    for _ in 0..<20 {
      let upstream = try target.accept()
      try pingPong(client, upstream, times: 20)
      client.close()
      try upstream.expect(.closed)
      upstream.close()
      client = try sidecar.connect()
    }
    client.close()
    try sidecar.stop()
  }
}
