// `sidecar status`, as a table, as JSON, and in the log by SIGUSR1.
import Foundation
import Testing

@Suite(.serialized, .timeLimit(.minutes(6)))
struct StatusTests {
  @Test(arguments: ["1", "3"])
  func everythingIsCountedExactly(workers: String) throws {
    let traffic = try KnownTraffic()
    let settings = traffic.settings.merging(["WORKERS": workers]) { $1 }
    try withSidecar(transfer: .copy, settings) { sidecar in
      try traffic.run(sidecar)
      let status = try sidecar.status()
      #expect(status["workers"] == Int(workers) && status["silent_workers"] == 0)
      #expect(status.text("state") == "serving")
      #expect(status["connections_open"] == 0 && status["log_lines_lost"] == 0)
      #expect(status.connections.count == 0)
      let (well, ill) = (status.forwards[0], status.forwards[1])
      let expected = [
        "open": 0, "accepted": 4, "established": 3, "failed": 0, "absorbed": 1,
        "to_target_bytes": KnownTraffic.toTarget, "to_client_bytes": KnownTraffic.toClient,
      ]
      for (key, value) in expected { #expect(well[key] == value, "\(key)") }
      #expect(well.text("listen") == "[::]:\(traffic.ports.well.number)")
      #expect(well.text("target") == "127.0.0.1:\(traffic.target.port)")
      #expect(well.number("last_success_seconds_ago")! < 60)
      #expect(well.text("last_failure_cause") == nil)
      #expect(ill["accepted"] == 2 && ill["failed"] == 2 && ill["established"] == 0)
      #expect(ill.text("last_failure_cause") == "refused")
      #expect(ill.number("last_success_seconds_ago") == nil)
    }
  }

  @Test func theTableHasARowForEachForward() throws {
    let traffic = try KnownTraffic()
    try withSidecar(transfer: .copy, traffic.settings) { sidecar in
      try traffic.run(sidecar)
      let answer = try sidecar.ask("status")
      #expect(answer.ended == .exit(0) && answer.errors == [])
      let lines = answer.lines
      try #require(lines.count == 9)
      #expect(
        lines[0].wholeMatch(of: /sidecar \S+  serving  up \S+  workers \d+  sandbox on/) != nil)
      #expect(
        lines[2].split(separator: " ").joined(separator: " ")
          == "LISTEN TARGET OPEN TOTAL FAILED ABSORBED TO TARGET TO CLIENT")
      let well = "127.0.0.1:\(traffic.target.port)"
      let ill = "127.0.0.1:\(traffic.nobody.number)"
      #expect(
        lines[3].split(separator: " ").joined(separator: " ")
          == "[::]:\(traffic.ports.well.number) \(well) 0 4 0 1 5.8 KiB 410 KiB")
      #expect(
        lines[4].split(separator: " ").joined(separator: " ")
          == "[::]:\(traffic.ports.ill.number) \(ill) 0 2 2 0 0 B 0 B")
      #expect(lines[5].hasPrefix("\(well): reached ") && lines[5].hasSuffix(" ago"))
      #expect(lines[6].hasPrefix("\(ill): not reached yet; failed "))
      #expect(lines[6].hasSuffix(" ago: refused"))
      #expect(lines[1] == "" && lines[7] == "" && lines[8].hasPrefix("connections 0/"))
    }
  }

  @Test(arguments: ["1", "4"])
  func theFiftyOldestOfEightyAreListed(workers: String) throws {
    let target = try Target()
    try withSidecar(to: target, ["WORKERS": workers]) { sidecar in
      var pairs = try (0..<50).map { _ in try sidecar.connectAndTalk(to: target) }
      let old = try sidecar.status()
      pairs += try (0..<30).map { _ in try sidecar.connectAndTalk(to: target) }
      let status = try sidecar.status()
      #expect(status["connections_open"] == 80 && status.forwards[0]["open"] == 80)
      let numbers = status.connections.compactMap { $0["connection"] }
      #expect(numbers.count == 50 && numbers == old.connections.map { $0["connection"]! })
      let ages = status.connections.compactMap { $0.number("age_seconds") }
      #expect(ages == ages.sorted(by: >))
      let clients = Set(pairs[..<50].map { "127.0.0.1:\($0.client.socket.localPort)" })
      #expect(Set(status.connections.compactMap { $0.text("client") }) == clients)
      let table = try sidecar.ask("status").lines
      #expect(table.last == "and 30 younger ones")
      #expect(table.count { $0.hasPrefix("127.0.0.1:") && $0.hasSuffix("  open") } == 50)
      for pair in pairs { pair.client.close() }
    }
  }

  @Test func aConnectionsNumbersAndStateAreItsOwn() throws {
    let target = try Target()
    try withSidecar(to: target) { sidecar in
      let pairs = try (0..<3).map { _ in try sidecar.connectAndTalk(to: target) }
      try pairs[0].client.send([UInt8](repeating: 1, count: 1_000))
      _ = try pairs[0].upstream.receive(exactly: 1_000)
      try pairs[1].client.finishSending()
      try pairs[1].upstream.expect(.closed)
      try pairs[2].upstream.finishSending()
      try pairs[2].client.expect(.closed)
      let status = try sidecar.waitForStatus("all three states") {
        Set($0.connections.compactMap { $0.text("state") })
          == ["open", "client_ended", "target_ended"]
      }
      for (pair, state) in zip(pairs, ["open", "client_ended", "target_ended"]) {
        let client = "127.0.0.1:\(pair.client.socket.localPort)"
        let view = try #require(status.connections.first { $0.text("client") == client })
        #expect(view.text("state") == state)
        #expect(view.text("address") == "127.0.0.1:\(target.port)")
        #expect(view["to_target_bytes"] == (state == "open" ? 1_007 : 7))
        #expect(view["to_client_bytes"] == 7)
        #expect(view["forward"] == 0)
        #expect(view.number("idle_seconds")! <= view.number("age_seconds")!)
      }
      for pair in pairs { pair.client.close() }
    }
  }

  @Test func aConnectionOnItsWayIsListedToo() throws {
    let target = try Target()
    try target.goSilent()
    try withSidecar(to: target) { sidecar in
      let client = try sidecar.connect()
      try sidecar.waitForStatus("it is connecting") {
        $0.connections.first?.text("state") == "connecting"
          && $0.connections.first?.text("address") == "127.0.0.1:\(target.port)"
      }
      client.close()
    }
    let silence = try TinyNameServer(knowing: nil)
    let settings = silence.settings.merging([
      "TARGET_HOST": "db.test", "CONNECT_TIMEOUT": "2s",
    ]) { $1 }
    try withSidecar(to: target, settings) { sidecar in
      let client = try sidecar.connect()
      try sidecar.waitForStatus("it is resolving") {
        $0.connections.first?.text("state") == "resolving"
      }
      client.close()
    }
  }

  @Test func aNamesAddressesAndTheirTimeAreShown() throws {
    let target = try Target()
    let server = try TinyNameServer(knowing: "db.test", ttl: 200)
    let settings = server.settings.merging(["TARGET_HOST": "db.test"]) { $1 }
    try withSidecar(to: target, settings) { sidecar in
      let pair = try sidecar.connectAndTalk(to: target)
      let forward = try sidecar.status().forwards[0]
      #expect(forward.object["addresses"] as? [String] == ["127.0.0.1"])
      #expect(100...200 ~= forward.number("ttl_seconds_left")!)
      #expect(forward.object["stale"] as? Bool == false)
      let line = try sidecar.ask("status").lines.first { $0.hasPrefix("db.test:") }
      #expect(line?.contains(": 127.0.0.1 (TTL 3m") == true)
      pair.client.close()
    }
  }

  @Test func descriptorsAreThoseThatAreOpen() throws {
    let target = try Target()
    try withSidecar(to: target) { sidecar in
      let pairs = try (0..<20).map { _ in try sidecar.connectAndTalk(to: target) }
      let open = try sidecar.process.openDescriptors().values.reduce(0, +)
      #expect(try sidecar.status()["descriptors_open"] == open + 1, "and the one who asks")
      for pair in pairs { pair.client.close() }
    }
  }

  @Test func asleepItIsOneLine() throws {
    try withSidecar(["MODE": "sleep"]) { sidecar in
      let line = try sidecar.ask("status").line()
      #expect(line.wholeMatch(of: /sidecar \S+  asleep  up \S+  sandbox on/) != nil)
      let status = try sidecar.status()
      #expect(status.text("state") == "asleep" && status.forwards.isEmpty)
    }
  }

  /// Twenty ask at once, more than there are places.
  @Test func manyMayAskAtOnce() throws {
    let target = try Target()
    try withSidecar(to: target) { sidecar in
      let askers = (0..<6).map { number in
        Background("asker \(number)") {
          for _ in 0..<20 { _ = try sidecar.status() }
        }
      }
      for asker in askers { try asker.result() }
    }
  }
}

@Suite(.serialized, .timeLimit(.minutes(6)))
struct StatusSignalTests {
  @Test(arguments: ["text", "json"])
  func itsTableIsLoggedOnce(format: String) throws {
    let target = try Target()
    try withSidecar(to: target, ["LOG_FORMAT": format]) { sidecar in
      let pair = try sidecar.connectAndTalk(to: target)
      let before = sidecar.process.output.lines.count
      sidecar.process.send(SIGUSR1)
      let row = try #require(
        sidecar.process.output.first(from: before) { $0.contains("  open") })
      #expect(row.contains("127.0.0.1:\(pair.client.socket.localPort)"))
      // What is asked afterwards is answered after whatever would be logged again.
      _ = try sidecar.status()
      let lines = sidecar.process.output.lines[before...]
      for heading in ["serving  up", "LISTEN", "TARGET ADDRESS", "descriptors"] {
        #expect(lines.count { $0.contains(heading) } == 1, "\(heading)")
      }
      if format == "json" {
        for line in lines {
          let object = try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any]
          #expect(object?["level"] as? String == "info")
        }
      }
      pair.client.close()
    }
  }

  @Test func asleepItIsLoggedToo() throws {
    try withSidecar(["MODE": "sleep"]) { sidecar in
      sidecar.process.send(SIGUSR1)
      _ = try #require(sidecar.process.output.first { $0.contains("  asleep  up ") })
    }
  }
}

@Suite(.timeLimit(.minutes(6)))
struct CommandLineTests {
  @Test(arguments: [
    ["health", "--json"], ["health", "now"], ["status", "--target"], ["status", "x"],
    ["status", "--json", "--watch"], ["status", "--watch", "--json"], ["probe", "--fast"],
    ["probe", "--greet", "-x"], ["probe", "localhost"], ["probe", "localhost:0"],
    ["probe", "127.0.0.1:1", "nonsense"], ["--help", "x"], ["serve"], ["--watch"], [""],
  ])
  func whatIsNotUnderstoodIsSaidInOneLine(words: [String]) throws {
    let answer = try runSidecar(words, ["TARGET_HOST": "127.0.0.1", "TARGET_PORT": "9"])
    #expect(answer.ended == .exit(64))
    #expect(answer.lines == [])
    #expect(answer.errors.count == 1 && answer.errors[0].hasPrefix("sidecar"))
  }

  @Test(arguments: [["--help"], ["-h"]])
  func helpNamesEveryCommandAndVariable(words: [String]) throws {
    let answer = try runSidecar(words)
    #expect(answer.ended == .exit(0) && answer.errors == [])
    for word in [
      "health", "status", "probe", "--target", "--json", "--watch", "--greet", "METRICS_PORT",
      "METRICS_HOST", "STOP_TIMEOUT", "LISTEN_PORT", "SIGUSR1",
    ] {
      #expect(answer.text.contains(word), "\(word)")
    }
    #expect(answer.lines.allSatisfy { $0.count <= 80 })
  }
}
