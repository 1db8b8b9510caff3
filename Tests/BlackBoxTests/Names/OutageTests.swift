// What is done while no name server answers: the last good answer stands in, for a while.
import Foundation
import Testing

@Suite(.aside)
struct OutageTests {
  /// An answer that holds for a second is had, and then the servers do `reaction`.
  private func withOutage(
    _ reaction: @escaping ScriptedNameServer.Script, _ settings: [String: String] = [:],
    _ body: (Sidecar, Target, ScriptedNameServer) throws -> Void
  ) throws {
    let target = try Target()
    let names = try ScriptedNameServer { .reply($0.addresses("127.0.0.1", ttl: 1)) }
    try withSidecar(to: target, asking: names, settings) { sidecar in
      try sidecar.visit(target)
      names.change(reaction)
      names.forget()
      pause(.milliseconds(1200))
      try body(sidecar, target, names)
    }
  }

  @Test func theLastGoodAnswerStandsInAndThatIsSaidOnce() throws {
    try withOutage({ _ in .reply(.serverFailure) }, ["CONNECT_TIMEOUT": "2s"]) {
      sidecar, target, names in
      for _ in 0..<10 { try sidecar.visit(target) }
      let message = "no name server answers: the last good addresses are used"
      let line = try sidecar.waitForLine(message)
      #expect(line.level == "warn")
      #expect(line["name"] == "db.test")
      #expect(line["servers"] == "127.0.0.1:\(names.port) SERVFAIL")
      pause(.seconds(1))
      for _ in 0..<10 { try sidecar.visit(target) }
      #expect(sidecar.count(of: message) == 1)
      #expect(sidecar.count(of: "connection failed") == 0)
    }
  }

  /// A client waits for the servers, but not for as long as they may take.
  @Test func behindSilentServersAClientIsServedSoon() throws {
    try withOutage({ _ in .silence }, ["CONNECT_TIMEOUT": "8s"]) { sidecar, target, names in
      let took = try timing { try sidecar.visit(target) }
      #expect(took < .seconds(3))
      let next = try timing { for _ in 0..<10 { try sidecar.visit(target) } }
      #expect(next < .seconds(1))
      names.change { .reply($0.addresses("127.0.0.1")) }
    }
  }

  @Test func afterTheStaleLimitTheOutageIsSaid() throws {
    try withOutage({ _ in .reply(.refused) }, ["STALE_LIMIT": "1s"]) { sidecar, target, names in
      try sidecar.waitForLine("name resolved")
      // The answer ended 0.2 s ago at most, and stands in for another second.
      let deadline = Deadline()
      while try sidecar.isServed(by: target) {
        if deadline.hasPassed { throw Failure("the last answer is used for ever") }
        pause(.milliseconds(50))
      }
      #expect(sidecar.count(of: "no name server answers") == 1)
      let line = try sidecar.waitForLine("name lookup failed")
      #expect(line["cause"] == "name_servers_failed")
      #expect(line["servers"] == "127.0.0.1:\(names.port) REFUSED")
      #expect(try sidecar.waitForLine("connection failed")["cause"] == "name_servers_failed")
    }
  }

  /// Nobody came while the limit passed: the first who does must not be sent to an address that
  /// may be a stranger's by now.
  @Test func theStaleLimitHoldsForADaemonThatWasIdle() throws {
    try withOutage({ _ in .reply(.refused) }, ["STALE_LIMIT": "1s"]) { sidecar, target, names in
      _ = try sidecar.isServed(by: target)
      pause(.milliseconds(1500))
      try #expect(!sidecar.isServed(by: target))
    }
  }

  @Test func withoutAStaleLimitNothingStandsIn() throws {
    try withOutage({ _ in .reply(.refused) }, ["STALE_LIMIT": "0"]) { sidecar, target, names in
      try #expect(!sidecar.isServed(by: target))
    }
  }

  @Test func theEndOfAnOutageIsSaid() throws {
    try withOutage({ _ in .reply(.refused) }) { sidecar, target, names in
      try sidecar.visit(target)
      try sidecar.waitForLine("no name server answers")
      names.change { .reply($0.addresses("127.0.0.1", ttl: 1)) }
      // The servers are tried again after 5 s.
      try eventually("the servers are asked again") {
        try sidecar.visit(target)
        return sidecar.count(of: "name servers answer again") == 1
      }
      let line = try sidecar.waitForLine("name servers answer again")
      #expect(line.level == "info")
      #expect(line["name"] == "db.test")
    }
  }

  /// What exists no longer is not a failure of the servers: nothing stands in for it.
  @Test func aNameThatIsDeletedIsGone() throws {
    try withOutage({ _ in .reply(.noName()) }) { sidecar, target, names in
      try #expect(!sidecar.isServed(by: target))
      #expect(try sidecar.waitForLine("connection failed")["cause"] == "name_not_found")
    }
  }
}
