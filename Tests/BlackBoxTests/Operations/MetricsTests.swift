// The metrics page: off unless it is asked for, exact, clean, and no burden to forwarding.
import Foundation
import Testing

/// Runs `body` beside a daemon with a metrics page, at the port it is given.
private func withMetrics(
  to target: Target? = nil, _ settings: [String: String] = [:],
  _ body: (Sidecar, UInt16) throws -> Void
) throws {
  let port = try ReservedPort()
  let settings = settings.merging(["METRICS_PORT": "\(port.number)"]) { $1 }
  try withSidecar(to: target, transfer: .copy, settings) { try body($0, port.number) }
}

@Suite(.serialized, .timeLimit(.minutes(6)))
struct MetricsTests {
  @Test func withoutAPortThereIsNoPage() throws {
    let target = try Target()
    try withSidecar(to: target) { sidecar in
      let sockets = try sidecar.process.openDescriptors()["socket"]
      #expect(sockets == 2, "a listener for clients, and the control socket")
    }
  }

  @Test(arguments: ["1", "3"])
  func everythingIsCountedExactly(workers: String) throws {
    let traffic = try KnownTraffic()
    try withMetrics(traffic.settings.merging(["WORKERS": workers]) { $1 }) { sidecar, port in
      try traffic.run(sidecar)
      let page = try Page(port: port)
      #expect(page.status == "HTTP/1.1 200 OK")
      let target = "target=\"127.0.0.1:\(traffic.target.port)\""
      let well = target + ",listen_port=\"\(traffic.ports.well.number)\""
      let ill =
        "target=\"127.0.0.1:\(traffic.nobody.number)\""
        + ",listen_port=\"\(traffic.ports.ill.number)\""
      let expected: [(String, Int)] = [
        ("sidecar_connections_open{\(well)}", 0),
        ("sidecar_connections_accepted_total{\(well)}", 4),
        ("sidecar_connections_established_total{\(well)}", 3),
        ("sidecar_probes_absorbed_total{\(well)}", 1),
        ("sidecar_connections_failed_total{\(well),cause=\"refused\"}", 0),
        ("sidecar_connections_ended_total{\(well),ended_by=\"client\",reason=\"closed\"}", 3),
        ("sidecar_connections_ended_total{\(well),ended_by=\"target\",reason=\"closed\"}", 0),
        ("sidecar_forwarded_bytes_total{\(well),direction=\"to_target\"}", KnownTraffic.toTarget),
        ("sidecar_forwarded_bytes_total{\(well),direction=\"to_client\"}", KnownTraffic.toClient),
        ("sidecar_connect_duration_seconds_count{\(well)}", 3),
        ("sidecar_connection_duration_seconds_count{\(well)}", 3),
        ("sidecar_connection_duration_seconds_bucket{\(well),le=\"+Inf\"}", 3),
        ("sidecar_connection_duration_seconds_bucket{\(well),le=\"60\"}", 3),
        ("sidecar_connections_accepted_total{\(ill)}", 2),
        ("sidecar_connections_failed_total{\(ill),cause=\"refused\"}", 2),
        ("sidecar_connections_failed_total{\(ill),cause=\"timed_out\"}", 0),
        ("sidecar_connection_duration_seconds_count{\(ill)}", 0),
        ("sidecar_workers", Int(workers)!), ("sidecar_log_lines_lost_total", 0),
      ]
      for (sample, value) in expected {
        #expect(try page.value(sample) == Double(value), "\(sample)")
      }
      let sum = try page.value("sidecar_connection_duration_seconds_sum{\(well)}")
      #expect(0 < sum && sum < 60)
      let age = try Date().timeIntervalSince1970 - page.value("process_start_time_seconds")
      #expect(-1 < age && age < 60)
    }
  }

  @Test func promtoolFindsNothingToSay() throws {
    let traffic = try KnownTraffic()
    try withMetrics(traffic.settings) { sidecar, port in
      try traffic.run(sidecar)
      try expectClean(Page(port: port))
    }
    try withMetrics(["MODE": "sleep"]) { _, port in try expectClean(Page(port: port)) }
  }

  private func expectClean(_ page: Page) throws {
    let directory = try ScratchDirectory()
    try page.body.write(toFile: directory.path("page"), atomically: true, encoding: .utf8)
    var promtool = Program(["promtool", "check", "metrics"])
    promtool.input = directory.path("page")
    #expect(try promtool.run() == "")
  }

  @Test func namesAreCounted() throws {
    let target = try Target()
    let server = try TinyNameServer(knowing: "db.test")
    let settings = server.settings.merging(["TARGET_HOST": "db.test"]) { $1 }
    try withMetrics(to: target, settings) { sidecar, port in
      let pair = try sidecar.connectAndTalk(to: target)
      let page = try Page(port: port)
      #expect(try page.value("sidecar_name_lookups_total{result=\"resolved\"}") == 1)
      #expect(try page.value("sidecar_name_lookups_total{result=\"failed\"}") == 0)
      #expect(try page.value("sidecar_name_questions_total") >= 2)
      #expect(try page.value("sidecar_stale_answers_total") == 0)
      pair.client.close()
    }
  }

  @Test func itIsServedOnLoopbackAloneUnlessAskedOtherwise() throws {
    let target = try Target()
    try withMetrics(to: target) { _, port in
      #expect(throws: (any Error).self) { try Peer(connectingTo: port, over: .otherIPv4) }
    }
    try withMetrics(to: target, ["METRICS_HOST": "127.0.0.2"]) { _, port in
      #expect(throws: (any Error).self) { try Peer(connectingTo: port) }
      let peer = try Peer(connectingTo: port, over: .otherIPv4)
      try peer.send("HEAD /metrics HTTP/1.0\r\n\r\n")
      let answer = String(decoding: try peer.receiveUntilEnd(), as: UTF8.self)
      #expect(answer.hasPrefix("HTTP/1.1 200 OK\r\n") && answer.hasSuffix("\r\n\r\n"))
    }
  }

  @Test func aPortInUseKeepsItFromStarting() throws {
    let taken = try Target()
    let answer = try runSidecar(
      [],
      [
        "TARGET_HOST": "127.0.0.1", "TARGET_PORT": "9", "METRICS_PORT": "\(taken.port)",
        "LISTEN_PORT": "\(ReservedPort().number)",
      ])
    #expect(answer.ended == .exit(69))
    #expect(answer.errors.count == 1)
    #expect(answer.errors[0].contains("127.0.0.1:\(taken.port): the port is in use"))
    #expect(answer.errors[0].contains("METRICS_PORT"))
  }

  @Test func aForwardedPortIsAFault() throws {
    let answer = try runSidecar(
      [], ["TARGET_HOST": "127.0.0.1", "TARGET_PORT": "9", "METRICS_PORT": "8080"])
    #expect(answer.ended == .exit(78))
    #expect(answer.errors.contains { $0.contains("METRICS_PORT=\"8080\": expected a port that") })
  }

  @Test(arguments: [
    ("GET / HTTP/1.1\r\n\r\n", "404"), ("POST /metrics HTTP/1.1\r\n\r\n", "405"),
    ("hello\r\n\r\n", "400"), ("GET /" + String(repeating: "x", count: 5_000), "431"),
  ])
  func anythingElseIsRefused(request: String, code: String) throws {
    try withMetrics(["MODE": "sleep"]) { _, port in
      let page = try Page(port: port, request: request)
      #expect(page.status.hasPrefix("HTTP/1.1 \(code) ") && !page.body.isEmpty)
    }
  }

  @Test func aRequestMayComeByteByByte() throws {
    try withMetrics(["MODE": "sleep"]) { _, port in
      let peer = try Peer(connectingTo: port)
      for byte in "GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n".utf8 {
        try peer.send([byte])
        try peer.waitUntilAcknowledged()
      }
      let answer = String(decoding: try peer.receiveUntilEnd(), as: UTF8.self)
      #expect(answer.contains("\nsidecar_build_info{"))
    }
  }

  @Test func itAnswersWhileItDrains() throws {
    let target = try Target()
    try withMetrics(to: target) { sidecar, port in
      let pair = try sidecar.connectAndTalk(to: target)
      sidecar.process.send(SIGTERM)
      try sidecar.waitForLine("draining")
      #expect(try Page(port: port).body.contains("\nsidecar_connections_open{"))
      pair.client.close()
      pair.upstream.close()
      try sidecar.expectExit(0)
    }
  }
}

@Suite(.serialized, .timeLimit(.minutes(6)))
struct HostileScraperTests {
  /// What a client of the forwarder waits for an answer while `hostility` is done, and that the
  /// page still works afterwards.
  private func expectUndisturbed(
    _ name: String, _ hostility: @escaping @Sendable (UInt16) throws -> Void
  ) throws {
    let target = try Target()
    try withMetrics(to: target) { sidecar, port in
      let (client, upstream) = try sidecar.connectAndTalk(to: target)
      let work = Background(name) { try hostility(port) }
      var times: [Duration] = []
      repeat {
        let start = ContinuousClock.now
        try pingPong(client, upstream)
        times.append(ContinuousClock.now - start)
      } while !work.isDone || times.count < 500
      try work.result()
      let worst = times.sorted()[times.count * 99 / 100]
      figure("round trip beside \(name), median", times.median.inMilliseconds, "ms")
      figure("round trip beside \(name), 99th", worst.inMilliseconds, "ms", goal: "<= 100")
      #expect(worst <= .milliseconds(100))
      #expect(try Page(port: port).status == "HTTP/1.1 200 OK")
      client.close()
    }
  }

  @Test func aSlowLorisIsCutOff() throws {
    try expectUndisturbed("a slow loris") { port in
      let peers = try (0..<40).map { _ in try Peer(connectingTo: port) }
      for peer in peers { try? peer.send("GET /metrics HT") }
      // One of the latest sixteen, which still have their places: those are cut off in time.
      let start = ContinuousClock.now
      let last = peers[peers.count - 1]
      while ContinuousClock.now - start < .seconds(15) {
        do { try last.send("x") } catch { return }
        pause(.milliseconds(100))
      }
      throw Failure("it still holds its place after 15 s")
    }
  }

  @Test func aRequestLineOfAMebibyteIsCutOff() throws {
    try expectUndisturbed("long request lines") { port in
      for _ in 0..<20 {
        let peer = try Peer(connectingTo: port)
        try? peer.send([UInt8](repeating: UInt8(ascii: "A"), count: mebibyte))
        peer.close()
      }
    }
  }

  @Test func aThousandScrapersAreNothing() throws {
    try raiseDescriptorLimit()
    try expectUndisturbed("a thousand scrapers") { port in
      let peers = try (0..<1_000).map { _ in try Peer(connectingTo: port) }
      // Some are let go for the sake of others; nobody waits for ever.
      for peer in peers { try? peer.send("GET /metrics HTTP/1.1\r\n\r\n") }
      for peer in peers { _ = try? peer.receiveUntilEnd() }
    }
  }

  @Test func manyScrapesOneAfterTheOther() throws {
    try expectUndisturbed("many scrapes") { port in
      for _ in 0..<500 { _ = try Page(port: port) }
    }
  }
}
