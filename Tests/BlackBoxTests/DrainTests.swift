// From the first signal to the exit: nobody new is let in, nobody inside is hurried, until time is
// up.
import Foundation
import Testing

@Suite(.serialized)
struct DrainTests {
  @Test(arguments: [SIGTERM, SIGINT])
  func withNothingOpenItEndsAtOnce(signal: Int32) throws {
    let target = try Target()
    // The fastest of a few: a busy machine may delay any one of them.
    let times = try (0..<5).map { _ in
      var took = Duration.zero
      try withSidecar(to: target) { sidecar in
        let (client, upstream) = try sidecar.connect(to: target)
        try pingPong(client, upstream)
        client.close()
        upstream.close()
        try sidecar.waitForLine("connection ended")
        let start = ContinuousClock.now
        sidecar.process.send(signal)
        try sidecar.expectExit(0)
        took = ContinuousClock.now - start
        try expectLines(["draining", "drained", "stopped"], sidecar)
        #expect(sidecar.log.last?.message == "stopped")
      }
      return took
    }
    #expect(times.min()! < .milliseconds(50))
  }

  /// Transfers that were under way, and stuck, when the signal came are finished to the last byte.
  @Test(arguments: Transfer.allCases)
  func transfersUnderWayAreFinished(transfer: Transfer) throws {
    let target = try Target()
    let count = 24 * mebibyte
    let (toTarget, toClient) = (TestBytes(seed: 60), TestBytes(seed: 61))
    try withSidecar(to: target, transfer: transfer) { sidecar in
      let pairs = try (0..<2).map { _ in try sidecar.connect(to: target) }
      let sending = pairs.flatMap { pair in
        [
          Background("client") { try pair.client.sendAll(toTarget, count: count) },
          Background("target") { try pair.upstream.sendAll(toClient, count: count) },
        ]
      }
      for pair in pairs {
        try pair.client.expect(toClient, count: 64 * kibibyte)
        try pair.upstream.expect(toTarget, count: 64 * kibibyte)
      }
      #expect(sending.allSatisfy { !$0.isDone })
      sidecar.process.send(SIGTERM)
      let line = try sidecar.waitForLine("draining")
      #expect(line["signal"] == "SIGTERM")
      #expect(line["open"] == "2")
      try expectRefusals(sidecar, target)
      let (from, rest) = (64 * kibibyte, count - 64 * kibibyte)
      try atTheSameTime(
        pairs.flatMap { pair -> [@Sendable () throws -> Void] in
          [
            { try pair.client.expectAll(toClient, from: from, count: rest) },
            { try pair.upstream.expectAll(toTarget, from: from, count: rest) },
          ]
        })
      for work in sending { try work.result() }
      try sidecar.expectExit(0)
      try expectLines(["draining", "connection ended", "drained", "stopped"], sidecar)
      #expect(sidecar.count(of: "connection ended") == 2)
    }
  }

  /// A quiet connection in a pool is as much under way as a busy one.
  @Test func anOpenConnectionIsServedWhileDraining() throws {
    let target = try Target()
    try withSidecar(to: target) { sidecar in
      let (client, upstream) = try sidecar.connect(to: target)
      sidecar.process.send(SIGTERM)
      try sidecar.waitForLine("draining")
      try expectRefusals(sidecar, target)
      try pingPong(client, upstream, times: 100)
      client.close()
      try upstream.expect(.closed)
      upstream.close()
      try sidecar.expectExit(0)
    }
  }

  @Test func theDrainDelayGoesOnAccepting() throws {
    let target = try Target()
    try withSidecar(to: target, ["DRAIN_DELAY": "2s"]) { sidecar in
      let start = ContinuousClock.now
      sidecar.process.send(SIGTERM)
      try sidecar.waitForLine("draining")
      let (client, upstream) = try sidecar.connect(to: target)
      try pingPong(client, upstream)
      try expectRefusals(sidecar, target)
      #expect(ContinuousClock.now - start >= .milliseconds(1900))
      try pingPong(client, upstream)
      client.close()
      upstream.close()
      try sidecar.expectExit(0)
    }
  }

  @Test func theDrainDelayIsKeptWithNothingOpen() throws {
    let target = try Target()
    try withSidecar(to: target, ["DRAIN_DELAY": "500ms"]) { sidecar in
      let start = ContinuousClock.now
      sidecar.process.send(SIGTERM)
      try sidecar.expectExit(0)
      #expect(ContinuousClock.now - start >= .milliseconds(490))
    }
  }

  @Test(arguments: Transfer.allCases)
  func theDrainTimeoutCutsWhatIsLeft(transfer: Transfer) throws {
    let target = try Target()
    try withSidecar(to: target, transfer: transfer, ["DRAIN_TIMEOUT": "300ms"]) { sidecar in
      let idle = try sidecar.connect(to: target)
      try pingPong(idle.client, idle.upstream)
      let stuck = try sidecar.connect(to: target)
      _ = try stuck.client.sendUntilFull(TestBytes(seed: 62))
      sidecar.process.send(SIGTERM)
      try sidecar.expectExit(0)
      try idle.client.expect(.reset)
      try idle.upstream.expect(.reset)
      #expect(try stuck.upstream.receiveAll(of: TestBytes(seed: 62)).ending == .reset)
      let cut = try sidecar.waitForLine("drain timeout: connections cut")
      #expect(cut.level == "warn")
      #expect(cut["cut"] == "2")
      let ended = sidecar.log.filter { $0.message == "connection ended" }
      #expect(ended.count == 2)
      #expect(ended.allSatisfy { $0["reason"] == "drain_timeout" && $0["ended_by"] == "sidecar" })
      try expectLines(["draining", "drain timeout: connections cut", "stopped"], sidecar)
    }
  }

  /// A connection attempt under way is something open, and has a deadline of its own.
  @Test func aConnectUnderWayIsFinishedWhileDraining() throws {
    let target = try Target()
    try target.goSilent()
    try withSidecar(to: target) { sidecar in
      let before = try sidecar.process.openDescriptors()["socket"] ?? 0
      let client = try sidecar.connect()
      try client.send("early")
      try sidecar.process.waitForSockets(before + 2)
      sidecar.process.send(SIGTERM)
      try sidecar.waitForLine("draining")
      try target.endSilence()
      let upstream = try target.accept()
      try upstream.expect("early")
      client.close()
      upstream.close()
      try sidecar.expectExit(0)
    }
  }

  /// The connect has succeeded, and the daemon has not seen it yet when it is told to cut: the
  /// target must not take that for an orderly end.
  @Test func aCutDuringTheConnectIsAReset() throws {
    let target = try Target()
    try target.goSilent()
    try withSidecar(to: target) { sidecar in
      let before = try sidecar.process.openDescriptors()["socket"] ?? 0
      let client = try sidecar.connect()
      try sidecar.process.waitForSockets(before + 2)
      sidecar.process.send(SIGTERM)
      try sidecar.waitForLine("draining")
      try sidecar.process.suspend()
      try target.endSilence()
      let upstream = try target.accept()
      sidecar.process.send(SIGTERM)
      sidecar.process.resume()
      try upstream.expect(.reset)
      try client.waitUntilBroken()
      try sidecar.expectExit(0)
    }
  }

  @Test(arguments: [SIGTERM, SIGINT])
  func aSecondSignalEndsAtOnce(signal: Int32) throws {
    let target = try Target()
    try withSidecar(to: target, ["DRAIN_DELAY": "1m"]) { sidecar in
      let (client, upstream) = try sidecar.connect(to: target)
      sidecar.process.send(SIGTERM)
      try sidecar.waitForLine("draining")
      sidecar.process.send(signal)
      try sidecar.expectExit(0)
      try client.expect(.reset)
      try upstream.expect(.reset)
      #expect(try sidecar.waitForLine("connection ended")["reason"] == "second_signal")
    }
  }

  @Test(arguments: [SIGHUP, SIGPIPE])
  func signalsThatMeanNothingHereAreIgnored(signal: Int32) throws {
    let target = try Target()
    try withSidecar(to: target) { sidecar in
      let (client, upstream) = try sidecar.connect(to: target)
      sidecar.process.send(signal)
      try pingPong(client, upstream, times: 20)
      let next = try sidecar.connect(to: target)
      try pingPong(next.client, next.upstream)
    }
  }

  /// Asks until it is refused. A client that asked in time and left may have been passed on to the
  /// target, where nobody will take it: closing the target's door ends such connections.
  private func expectRefusals(_ sidecar: Sidecar, _ target: Target) throws {
    try eventually("new clients are refused") { (try? sidecar.connect()) == nil }
    target.close()
  }

  /// The messages appear in the log in this order.
  private func expectLines(_ messages: [String], _ sidecar: Sidecar) throws {
    var rest = sidecar.log.map(\.message)[...]
    for message in messages {
      guard let place = rest.firstIndex(of: message) else {
        throw Failure("no line “\(message)” at its place")
      }
      rest = rest[(place + 1)...]
    }
  }
}
