// Every report, word for word, in both forms.
import Foundation
import Testing

@testable import Core

private let client = Endpoint(address: IPAddress(ipv4: 0x0a00_0007), port: 51_234)
private let address = Endpoint(address: IPAddress(ipv4: 0x0a00_0105), port: 5_432)
private let target = Target(
  host: [UInt8]("db.example"), kind: .name([UInt8]("db.example")), port: 5_432)

private let failures: [Failure] = [
  .refused, .timedOut, .networkUnreachable, .hostUnreachable, .reset, .nameNotFound,
  .nameWithoutAddress, .nameServersFailed, .loop, .noDescriptors, .noMemory, .noLocalPort,
  .notPermitted, .system(107),
]

private func record(by endedBy: EndedBy, reason: EndReason) -> ConnectionRecord {
  ConnectionRecord(
    id: 42, client: client, upstream: address, toTargetBytes: 123, toClientBytes: 456,
    connectTime: Nanoseconds(count: 1_234_000), duration: Nanoseconds(count: 5_678_123_000),
    endedBy: endedBy, reason: reason)
}

struct ReportsTests {
  /// Expects `fill` to make one line that begins with `level` and `message`, then has the fields.
  private func expect(
    _ level: String, _ message: String, text: String, json: String,
    at location: SourceLocation = #_sourceLocation, _ fill: (inout LogLine) -> Void
  ) {
    let time = "2026-11-21T03:32:18.123Z"
    let padded = level.padding(toLength: 5, withPad: " ", startingAt: 0)
    #expect(
      logLine(.text, fill) == "\(time) \(padded) \(message)\(text)\n", sourceLocation: location)
    let start = #"{"time":"\#(time)","level":"\#(level)","message":"\#(message)""#
    #expect(logLine(.json, fill) == "\(start)\(json)}\n", sourceLocation: location)
  }

  @Test func aConnectionThatEnded() {
    expect(
      "info", "connection ended",
      text: " connection=42 client=10.0.0.7:51234 target=db.example:5432 address=10.0.1.5:5432"
        + " to_target_bytes=123 to_client_bytes=456 connect_ms=1.234 duration_ms=5678.123"
        + " ended_by=client reason=closed",
      json: #","connection":42,"client":"10.0.0.7:51234","target":"db.example:5432""#
        + #","address":"10.0.1.5:5432","to_target_bytes":123,"to_client_bytes":456"#
        + #","connect_ms":1.234,"duration_ms":5678.123,"ended_by":"client","reason":"closed""#
    ) {
      $0.connectionEnded(record(by: .client, reason: .closed), target: target, at: logTime)
    }
  }

  @Test func aConnectionThatEndedBeforeItHadAnAddress() {
    var early = record(by: .sidecar, reason: .secondSignal)
    early.upstream = nil
    early.toTargetBytes = 0
    early.connectTime = .zero
    expect(
      "info", "connection ended",
      text: " connection=42 client=10.0.0.7:51234 target=db.example:5432"
        + " to_target_bytes=0 to_client_bytes=456 connect_ms=0.000 duration_ms=5678.123"
        + " ended_by=sidecar reason=second_signal",
      json: #","connection":42,"client":"10.0.0.7:51234","target":"db.example:5432""#
        + #","to_target_bytes":0,"to_client_bytes":456,"connect_ms":0.000,"duration_ms":5678.123"#
        + #","ended_by":"sidecar","reason":"second_signal""#
    ) { $0.connectionEnded(early, target: target, at: logTime) }
  }

  @Test(arguments: [
    (EndReason.closed, "closed"), (.reset, "reset"), (.vanished, "vanished"),
    (.idleTimeout, "idle_timeout"), (.drainTimeout, "drain_timeout"),
    (.secondSignal, "second_signal"), (.error, "error"),
  ])
  func everyEndHasItsReason(reason: EndReason, name: String) {
    for (by, byName) in [(EndedBy.client, "client"), (.target, "target"), (.sidecar, "sidecar")] {
      let line = logLine(.text) {
        $0.connectionEnded(record(by: by, reason: reason), target: target, at: logTime)
      }
      #expect(line.hasSuffix(" ended_by=\(byName) reason=\(name)\n"))
    }
  }

  @Test func aConnectionThatOpened() {
    expect(
      "debug", "connection opened",
      text: " connection=42 client=10.0.0.7:51234 target=db.example:5432 address=10.0.1.5:5432",
      json: #","connection":42,"client":"10.0.0.7:51234","target":"db.example:5432""#
        + #","address":"10.0.1.5:5432""#
    ) {
      $0.connectionOpened(id: 42, client: client, target: target, address: address, at: logTime)
    }
  }

  @Test func aProbeThatWasAbsorbed() {
    expect(
      "debug", "probe absorbed", text: " connection=42 client=10.0.0.7:51234",
      json: #","connection":42,"client":"10.0.0.7:51234""#
    ) { $0.probeAbsorbed(id: 42, client: client, at: logTime) }
  }
}

// Failures.
extension ReportsTests {
  @Test func aConnectionThatFailed() {
    expect(
      "warn",
      "connection failed: the target refused the connection: nothing listens on that port"
        + " (is the database up, is TARGET_PORT right?)",
      text: " connection=42 client=10.0.0.7:51234 target=db.example:5432 address=10.0.1.5:5432"
        + " cause=refused",
      json: #","connection":42,"client":"10.0.0.7:51234","target":"db.example:5432""#
        + #","address":"10.0.1.5:5432","cause":"refused""#
    ) {
      $0.connectionFailed(
        id: 42, client: client, target: target, address: address, failure: .refused, repeated: 0,
        at: logTime)
    }
  }

  @Test func aNameThatDoesNotExistHasNoAddress() {
    expect(
      "warn",
      "connection failed: the target's name does not exist: usually a misspelt TARGET_HOST,"
        + " or a private hosted zone that is not associated with this VPC",
      text: " connection=42 client=10.0.0.7:51234 target=db.example:5432 cause=name_not_found"
        + " repeated=7",
      json: #","connection":42,"client":"10.0.0.7:51234","target":"db.example:5432""#
        + #","cause":"name_not_found","repeated":7"#
    ) {
      $0.connectionFailed(
        id: 42, client: client, target: target, address: nil, failure: .nameNotFound, repeated: 7,
        at: logTime)
    }
  }

  @Test func anErrorWithoutAdviceSaysItsNumber() {
    expect(
      "warn",
      "connection failed: the system gave an error this sidecar has no advice for: look up errno",
      text: " connection=42 client=10.0.0.7:51234 target=db.example:5432 address=10.0.1.5:5432"
        + " cause=system_error errno=107 repeated=1",
      json: #","connection":42,"client":"10.0.0.7:51234","target":"db.example:5432""#
        + #","address":"10.0.1.5:5432","cause":"system_error","errno":107,"repeated":1"#
    ) {
      $0.connectionFailed(
        id: 42, client: client, target: target, address: address, failure: .system(107),
        repeated: 1, at: logTime)
    }
  }

  @Test func failuresThatWereFoldedNameNoConnection() {
    expect(
      "warn",
      "connection failed: no answer from the target within CONNECT_TIMEOUT: usually a security"
        + " group, a network ACL or a route that drops packets",
      text: " target=db.example:5432 cause=timed_out repeated=50",
      json: #","target":"db.example:5432","cause":"timed_out","repeated":50"#
    ) {
      $0.connectionFailedRepeatedly(
        target: target, failure: .timedOut, repeated: 50, at: logTime)
    }
  }

  @Test func everyFailureHasANameOfItsOwnAndAdviceInPlainASCII() {
    #expect(
      failures.map { "\($0.name)" } == [
        "refused", "timed_out", "network_unreachable", "host_unreachable", "reset",
        "name_not_found", "name_without_address", "name_servers_failed", "loop", "no_descriptors",
        "no_memory", "no_local_port", "not_permitted", "system_error",
      ])
    #expect(Set(failures.map { "\($0.advice)" }).count == failures.count)
    for failure in failures {
      let plain = "\(failure.advice)".utf8.allSatisfy {
        0x20...0x7e ~= $0 && $0 != UInt8(ascii: "\"") && $0 != UInt8(ascii: "\\")
      }
      #expect(plain, "\(failure.name)")
    }
  }

  @Test func theLongestReportsAreNotCut() {
    let host = [UInt8](repeating: UInt8(ascii: "n"), count: 255)
    let longest = Target(host: host, kind: .name(host), port: .max)
    let far = Endpoint(address: IPAddress(high: .max, low: .max), port: .max)
    var record = record(by: .sidecar, reason: .drainTimeout)
    record.id = .max
    record.client = far
    record.upstream = far
    record.toTargetBytes = .max
    record.toClientBytes = .max
    record.connectTime = Nanoseconds(count: .max)
    record.duration = Nanoseconds(count: .max)
    for format in LogFormat.allCases {
      let ended = logLine(format) { $0.connectionEnded(record, target: longest, at: logTime) }
      #expect(ended.contains("drain_timeout") && !ended.contains("…"))
      for failure in failures {
        let failed = logLine(format) {
          $0.connectionFailed(
            id: .max, client: far, target: longest, address: far, failure: failure,
            repeated: .max, at: logTime)
        }
        #expect(failed.contains("repeated") && !failed.contains("…"), "\(failed)")
      }
    }
  }
}

// The daemon's life and its limits.
extension ReportsTests {
  @Test func listening() {
    let all = Endpoint(address: IPAddress(high: 0, low: 0), port: 8_080)
    expect(
      "info", "listening", text: " listen=[::]:8080 target=db.example:5432",
      json: #","listen":"[::]:8080","target":"db.example:5432""#
    ) { $0.listening(listen: all, target: target, at: logTime) }
    let allIPv4 = Endpoint(address: IPAddress(ipv4: 0), port: 8_080)
    expect(
      "info", "listening", text: " listen=0.0.0.0:8080 target=db.example:5432",
      json: #","listen":"0.0.0.0:8080","target":"db.example:5432""#
    ) { $0.listening(listen: allIPv4, target: target, at: logTime) }
  }

  @Test func started() {
    let version = [UInt8]("1.2.3")
    expect(
      "info", "sidecar 1.2.3 started", text: " mode=proxy workers=2 max_connections=32000",
      json: #","mode":"proxy","workers":2,"max_connections":32000"#
    ) {
      $0.started(
        version: version, mode: .proxy, workers: 2, maxConnections: 32_000, at: logTime)
    }
    expect(
      "info", "sidecar 1.2.3 started", text: " mode=sleep", json: #","mode":"sleep""#
    ) { $0.started(version: version, mode: .sleep, workers: 0, maxConnections: 0, at: logTime) }
  }

  @Test func aVersionOfAnyBytesKeepsTheLineWhole() throws {
    let version = [UInt8](0...255)
    let fill: (inout LogLine) -> Void = {
      $0.started(version: version, mode: .sleep, workers: 0, maxConnections: 0, at: logTime)
    }
    #expect(logLine(.text, fill).utf8.count { $0 == UInt8(ascii: "\n") } == 1)
    let object = try JSONSerialization.jsonObject(with: Data(logLine(.json, fill).utf8))
    #expect((object as? [String: Any])?["mode"] as? String == "sleep")
  }

  @Test func drainingToTheEnd() {
    expect(
      "info", "draining", text: " signal=SIGTERM open=3", json: #","signal":"SIGTERM","open":3"#
    ) { $0.draining(signal: "SIGTERM", open: 3, at: logTime) }
    expect("info", "drained", text: "", json: "") { $0.drained(at: logTime) }
    expect("warn", "drain timeout: connections cut", text: " cut=2", json: #","cut":2"#) {
      $0.drainTimedOut(cut: 2, at: logTime)
    }
    expect("info", "stopped", text: "", json: "") { $0.stopped(at: logTime) }
  }

  @Test func limits() {
    expect("warn", "log lines lost", text: " lost=9", json: #","lost":9"#) {
      $0.linesLost(9, at: logTime)
    }
    expect(
      "warn", "connection limit reached: new clients wait in the backlog", text: " limit=100",
      json: #","limit":100"#
    ) { $0.maxConnectionsReached(limit: 100, at: logTime) }
    expect(
      "warn", "MAX_CONNECTIONS lowered: the descriptor limit allows no more",
      text: " asked=9000 allowed=490", json: #","asked":9000,"allowed":490"#
    ) { $0.maxConnectionsLowered(asked: 9_000, allowed: 490, at: logTime) }
  }

  @Test func acceptingPaused() {
    expect(
      "warn",
      """
      accepting paused: no free descriptors; \
      raise the container's nofile limit or lower MAX_CONNECTIONS
      """, text: " cause=no_descriptors", json: #","cause":"no_descriptors""#
    ) { $0.acceptPaused(.noDescriptors, at: logTime) }
    expect(
      "warn",
      """
      accepting paused: no memory for another socket; \
      raise the container's memory limit or lower MAX_CONNECTIONS
      """, text: " cause=no_memory", json: #","cause":"no_memory""#
    ) { $0.acceptPaused(.noMemory, at: logTime) }
    expect(
      "warn",
      """
      accepting paused: the system refuses new connections: \
      usually a security policy of this machine
      """, text: " cause=system_error errno=1", json: #","cause":"system_error","errno":1"#
    ) { $0.acceptPaused(.system(1), at: logTime) }
  }
}
