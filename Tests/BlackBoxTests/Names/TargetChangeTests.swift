// Connections to an address that their name does not have any more: ON_TARGET_CHANGE.
import Foundation
import Testing

@Suite(.aside)
struct TargetChangeTests {
  /// Connected to 127.0.0.1 by a name that is looked up each second.
  private func withConnection(
    _ policy: String, _ settings: [String: String] = [:],
    _ body: (Sidecar, ScriptedNameServer, (client: Peer, upstream: Peer)) throws -> Void
  ) throws {
    let target = try Target()
    let names = try ScriptedNameServer { .reply($0.addresses("127.0.0.1", ttl: 1)) }
    var settings = settings
    settings["ON_TARGET_CHANGE"] = policy
    try withSidecar(to: target, asking: names, settings) { sidecar in
      try body(sidecar, names, sidecar.connectAndTalk(to: target))
    }
  }

  private func move(_ names: ScriptedNameServer, to addresses: String...) {
    names.change { .reply($0.addresses(addresses, ttl: 1)) }
  }

  /// Waits until the name was looked up `count` times from now on, by both families' questions.
  private func waitForLookups(_ count: Int, _ names: ScriptedNameServer) throws {
    names.forget()
    try names.waitForQuestions(2 * count)
  }

  @Test func keepLeavesThemAlone() throws {
    try withConnection("keep") { sidecar, names, connection in
      let new = try Target(on: .otherIPv4, port: sidecar.targetPort)
      move(names, to: "127.0.0.2")
      try sidecar.waitForLine("addresses changed")
      let deadline = Deadline(after: .seconds(3))
      while !deadline.hasPassed {
        try sidecar.visit(new)
        try pingPong(connection.client, connection.upstream)
        pause(.milliseconds(100))
      }
      #expect(sidecar.count(of: "addresses changed") == 1)
      pause(.seconds(1))
      try pingPong(connection.client, connection.upstream)
    }
  }

  @Test func drainEndsOneThatRests() throws {
    try withConnection("drain") { sidecar, names, connection in
      move(names, to: "127.0.0.2")
      try connection.upstream.expect(.closed)
      try connection.client.expect(.closed)
      connection.upstream.close()
      connection.client.close()
      let line = try sidecar.waitForLine("connection ended")
      #expect(line["reason"] == "target_changed")
      #expect(line["ended_by"] == "sidecar")
      #expect(line["address"] == "127.0.0.1:\(sidecar.targetPort)")
    }
  }

  /// One that is in use goes on until it rests, and nothing of it is lost.
  @Test func drainWaitsForOneThatIsInUse() throws {
    try withConnection("drain") { sidecar, names, connection in
      move(names, to: "127.0.0.2")
      // Two answers in a row come within 1.6 s, and 2 s of rest would end it.
      let deadline = Deadline(after: .seconds(4))
      while !deadline.hasPassed {
        try pingPong(connection.client, connection.upstream)
        pause(.milliseconds(200))
      }
      #expect(sidecar.count(of: "connection ended") == 0)
      let took = try timing { try connection.client.expect(.closed) }
      #expect(took > .milliseconds(500))
    }
  }

  @Test func resetEndsThemSoon() throws {
    try withConnection("reset") { sidecar, names, connection in
      move(names, to: "127.0.0.2")
      // Two lookups, and up to 2 s that keep clients from coming back all at once.
      let took = try timing { try connection.client.expect(.reset) }
      #expect(took < .seconds(6))
      try connection.upstream.expect(.reset)
      let line = try sidecar.waitForLine("connection ended")
      #expect(line["reason"] == "target_changed")
      #expect(line["ended_by"] == "sidecar")
    }
  }

  /// In the middle of a transfer, too: a demoted writer may be the one that does not move on.
  @Test func resetEndsOneThatIsInUse() throws {
    try withConnection("reset") { sidecar, names, connection in
      move(names, to: "127.0.0.2")
      try eventually("it is reset") {
        do { try pingPong(connection.client, connection.upstream) } catch { return true }
        return false
      }
      #expect(try sidecar.waitForLine("connection ended")["reason"] == "target_changed")
    }
  }

  /// One odd answer, as a server gives that has not heard of the change yet, or had heard too soon.
  @Test(arguments: ["drain", "reset"])
  func oneAnswerIsNoChange(policy: String) throws {
    try withConnection(policy) { sidecar, names, connection in
      // The number of A questions since: the first gets another answer.
      let asked = Shared(0)
      names.change { question in
        guard question.type == .a else { return .reply(.noData(ttl: 1)) }
        var isFirst = false
        asked.update { count in
          count += 1
          isFirst = count == 1
        }
        return .reply(question.addresses(isFirst ? "127.0.0.2" : "127.0.0.1", ttl: 1))
      }
      try waitForLookups(6, names)
      pause(.milliseconds(500))
      try pingPong(connection.client, connection.upstream)
    }
  }

  @Test(arguments: ["drain", "reset"])
  func anAddressThatStaysIsNoChange(policy: String) throws {
    try withConnection(policy) { sidecar, names, connection in
      move(names, to: "127.0.0.2", "127.0.0.1")
      try waitForLookups(3, names)
      move(names, to: "127.0.0.3", "127.0.0.1")
      try waitForLookups(5, names)
      try pingPong(connection.client, connection.upstream)
    }
  }

  /// That nobody can say where the name leads is no reason to end anything.
  @Test(arguments: [Reply.serverFailure, .noName(ttl: 1), .noData(ttl: 1)])
  func aNameThatCannotBeLookedUpIsNoChange(reply: Reply) throws {
    try withConnection("reset", ["STALE_LIMIT": "1s"]) { sidecar, names, connection in
      names.change { _ in .reply(reply) }
      try waitForLookups(1, names)
      pause(.milliseconds(3500))
      try pingPong(connection.client, connection.upstream)
      // And afterwards the name is followed again.
      move(names, to: "127.0.0.2")
      try connection.client.expect(.reset)
    }
  }

  @Test func otherForwardsAreNotConcerned() throws {
    let (moving, literal) = (try Target(), try Target())
    let (first, second) = (try ReservedPort(), try ReservedPort())
    let names = try ScriptedNameServer { .reply($0.addresses("127.0.0.1", ttl: 1)) }
    let forwards =
      "\(first.number)=db.test:\(moving.port),\(second.number)=127.0.0.1:\(literal.port)"
    let settings = ["FORWARDS": forwards, "ON_TARGET_CHANGE": "reset"]
    try withSidecar(asking: names, settings) { sidecar in
      let client = try Peer(connectingTo: first.number)
      let moved = try moving.accept()
      try pingPong(client, moved)
      let other = try Peer(connectingTo: second.number)
      let upstream = try literal.accept()
      move(names, to: "127.0.0.2")
      try client.expect(.reset)
      try moved.expect(.reset)
      pause(.milliseconds(300))
      try pingPong(other, upstream)
    }
  }

  /// With nobody connected there is nothing to follow.
  @Test func withoutConnectionsTheNameIsLeftAlone() throws {
    try withConnection("reset") { sidecar, names, connection in
      try waitForLookups(2, names)
      connection.client.close()
      connection.upstream.close()
      try sidecar.waitForLine("connection ended")
      pause(.seconds(1))
      names.forget()
      pause(.milliseconds(1500))
      #expect(names.questions.isEmpty)
    }
  }
}

extension Sidecar {
  /// As the line of the start has it.
  fileprivate var targetPort: UInt16 {
    let target = log.first { $0.message == "listening" }?["target"] ?? ""
    return UInt16(target.split(separator: ":").last ?? "") ?? 0
  }
}
