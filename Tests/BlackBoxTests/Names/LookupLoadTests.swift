// Names under load and at the end: how much name servers hear, and what dead ones do to
// connections that do not need them.
import Foundation
import Testing

@Suite(.aside, .serialized)
struct LookupLoadTests {
  /// Amazon's resolver answers 1024 packets a second for a task; a lookup for each connection would
  /// run into that.
  @Test func aThousandConnectionsCostAPacketNowAndThen() throws {
    let target = try Target()
    let names = try ScriptedNameServer { .reply($0.addresses("127.0.0.1", ttl: 5)) }
    let settings = ["LOG_LEVEL": "info"]
    try withSidecar(to: target, asking: names, settings) { sidecar in
      let start = ContinuousClock.now
      for number in 0..<1000 {
        try sidecar.visit(target)
        // Spread over a little more than one time to live.
        let due = Duration.milliseconds(number * 11 / 2)
        let early = due - (ContinuousClock.now - start)
        if early > .zero { pause(early) }
      }
      let seconds = (ContinuousClock.now - start) / .seconds(1)
      #expect(Double(names.questions.count) < 2 * seconds)
      // The answer was renewed, by both families' questions, before its time was over.
      #expect(names.questions.count >= 4)
      try eventually("all have ended") { sidecar.count(of: "connection ended") == 1000 }
    }
  }

  /// The refresh is slow, but happens behind the backs of those who connect.
  @Test func nobodyWaitsForARefresh() throws {
    let target = try Target()
    let names = try ScriptedNameServer { question in
      .after(.milliseconds(300), .reply(question.addresses("127.0.0.1", ttl: 2)))
    }
    try withSidecar(to: target, asking: names, ["LOG_LEVEL": "info"]) { sidecar in
      try sidecar.visit(target)
      var times: [Duration] = []
      let deadline = Deadline(after: .seconds(4))
      while !deadline.hasPassed {
        times.append(try timing { try sidecar.visit(target) })
        pause(.milliseconds(20))
      }
      #expect(names.questions.count >= 6)
      #expect(times.max()! < .milliseconds(250))
    }
  }

  /// Forty names, whose server fails at once, and clients for all of them without end.
  @Test func whateverClientsDoTheServerIsNotFlooded() throws {
    let names = try ScriptedNameServer { _ in .reply(.serverFailure) }
    let nobody = try ReservedPort()
    let ports = try (0..<40).map { _ in try ReservedPort() }
    let forwards = ports.enumerated().map { "\($1.number)=n\($0).test:\(nobody.number)" }
    let settings = [
      "FORWARDS": forwards.joined(separator: ","), "CONNECT_TIMEOUT": "500ms",
      "LOG_LEVEL": "info",
    ]
    try withSidecar(asking: names, settings) { sidecar in
      let deadline = Deadline(after: .seconds(4))
      while !deadline.hasPassed {
        let clients = try ports.map { try Peer(connectingTo: $0.number) }
        for client in clients { try client.expect(.reset) }
      }
      let times = names.questions.map { $0.time }
      // Enough that the limit is what holds it back, on a busy machine too.
      #expect(times.count > 25)
      for (index, time) in times.enumerated() {
        let inASecond = times[index...].prefix { $0 - time < .seconds(1) }.count
        // 24 are sent in any second; what is late by a moment may come close to what is not.
        #expect(inASecond <= 26)
      }
    }
  }

  /// One worker has it all: connections that flow, and hundreds that wait for a dead name server.
  @Test func aDeadNameServerStallsNobodyElse() throws {
    let (busy, named) = (try Target(), try Target())
    let (first, second) = (try ReservedPort(), try ReservedPort())
    let names = try ScriptedNameServer(on: [.ipv4, .otherIPv4]) { _ in .silence }
    let forwards =
      "\(first.number)=127.0.0.1:\(busy.port),\(second.number)=db.test:\(named.port)"
    let settings = ["FORWARDS": forwards, "CONNECT_TIMEOUT": "3s", "WORKERS": "1"]
    try withSidecar(asking: names, settings) { sidecar in
      let bulk = try Peer(connectingTo: first.number)
      let flood = Flood(of: TestBytes(seed: 90), from: bulk, to: try busy.accept())
      let client = try Peer(connectingTo: first.number)
      let upstream = try busy.accept()
      try pingPong(client, upstream)
      let waiting = try (0..<300).map { _ in try Peer(connectingTo: second.number) }
      try names.waitForQuestions(2)
      var worst = Duration.zero
      let before = flood.moved
      let deadline = Deadline(after: .seconds(2))
      while !deadline.hasPassed {
        worst = max(worst, try timing { try pingPong(client, upstream) })
        pause(.milliseconds(5))
      }
      #expect(worst < .milliseconds(500))
      #expect(flood.moved - before > 4 * mebibyte)
      for peer in waiting { try peer.expect(.reset) }
      try flood.stop()
      #expect(!named.isBeingCalled)
    }
  }

  // MARK: The end

  /// A client that was let in is served, though the daemon ends and its name is not known yet.
  @Test func aLookupUnderWayIsFinishedWhileDraining() throws {
    let target = try Target()
    let names = try ScriptedNameServer {
      .after(.milliseconds(800), .reply($0.addresses("127.0.0.1")))
    }
    try withSidecar(to: target, asking: names) { sidecar in
      let client = try sidecar.connectAndSpeak()
      try names.waitForQuestions(2)
      sidecar.process.send(SIGTERM)
      #expect(try sidecar.waitForLine("draining")["open"] == "1")
      let upstream = try target.accept()
      try upstream.expect("?")
      try pingPong(client, upstream)
      client.close()
      upstream.close()
      try sidecar.expectExit(0)
    }
  }

  @Test func aLookupWithoutAnswerDoesNotHoldTheEndUp() throws {
    let target = try Target()
    let names = try ScriptedNameServer { _ in .silence }
    try withSidecar(to: target, asking: names, ["CONNECT_TIMEOUT": "1s"]) { sidecar in
      let client = try sidecar.connectAndSpeak()
      try names.waitForQuestions(2)
      sidecar.process.send(SIGTERM)
      try client.expect(.reset)
      try sidecar.expectExit(0)
    }
  }

  @Test func theSecondSignalEndsALookupAtOnce() throws {
    let target = try Target()
    let names = try ScriptedNameServer { _ in .silence }
    try withSidecar(to: target, asking: names, ["CONNECT_TIMEOUT": "10s"]) { sidecar in
      let client = try sidecar.connectAndSpeak()
      try names.waitForQuestions(2)
      sidecar.process.send(SIGTERM)
      try sidecar.waitForLine("draining")
      sidecar.process.send(SIGTERM)
      let took = try timing { try client.expect(.reset) }
      #expect(took < .seconds(2))
      try sidecar.expectExit(0)
    }
  }
}
