// Which of a name's addresses a client is connected to, and what becomes of it when one fails.
import Foundation
import Testing

/// Targets at 127.0.0.1 and 127.0.0.2, on one port.
private struct Pair {
  let first: Target
  let second: Target

  init() throws {
    first = try Target()
    second = try Target(on: .otherIPv4, port: first.port)
  }

  static let answer: ScriptedNameServer.Script = { .reply($0.addresses("127.0.0.1", "127.0.0.2")) }
}

extension Sidecar {
  /// The addresses that the connections opened so far went to.
  fileprivate var addresses: [String] {
    log.filter { $0.message == "connection opened" }.compactMap { $0["address"] }
  }
}

@Suite(.aside)
struct SeveralAddressesTests {
  @Test(arguments: ["1", "3"])
  func connectionsAreSpreadOverThem(workers: String) throws {
    let pair = try Pair()
    let names = try ScriptedNameServer(script: Pair.answer)
    try withSidecar(to: pair.first, asking: names, ["WORKERS": workers]) { sidecar in
      let clients = try (0..<60).map { _ in try sidecar.connectAndSpeak() }
      try eventually("all are connected") { sidecar.addresses.count == 60 }
      let first = sidecar.addresses.count { $0.hasPrefix("127.0.0.1:") }
      #expect((20...40).contains(first))
      for client in clients { try client.reset() }
    }
  }

  /// RFC 8305: another attempt after 250 ms; the first to connect wins, the other is called off.
  @Test func aSilentAddressLosesToTheNext() throws {
    let pair = try Pair()
    try pair.first.goSilent()
    let names = try ScriptedNameServer(script: Pair.answer)
    try withSidecar(to: pair.first, asking: names, ["WORKERS": "1"]) { sidecar in
      let took = try timing { try sidecar.visit(pair.second) }
      #expect(took >= .milliseconds(240))
      #expect(took < .seconds(1))
      // From here on it is tried last.
      let next = try timing { for _ in 0..<8 { try sidecar.visit(pair.second) } }
      #expect(next < .milliseconds(240))
      try pair.first.endSilence()
      pause(.milliseconds(1200))  // the kernel would have repeated a SYN that was left
      #expect(!pair.first.isBeingCalled)
    }
  }

  @Test func afterARefusalTheNextIsTriedAtOnce() throws {
    let pair = try Pair()
    pair.first.close()
    let names = try ScriptedNameServer(script: Pair.answer)
    try withSidecar(to: pair.first, asking: names, ["WORKERS": "1"]) { sidecar in
      let took = try timing { for _ in 0..<8 { try sidecar.visit(pair.second) } }
      #expect(took < .milliseconds(240))
      #expect(sidecar.count(of: "connection failed") == 0)
    }
  }

  /// What failed is tried again when nothing else is left.
  @Test func anAddressThatFailedOnceIsNotForgotten() throws {
    let pair = try Pair()
    let port = pair.first.port
    pair.first.close()
    let names = try ScriptedNameServer(script: Pair.answer)
    try withSidecar(to: pair.first, asking: names, ["WORKERS": "1"]) { sidecar in
      for _ in 0..<2 { try sidecar.visit(pair.second) }
      let again = try Target(port: port)
      pair.second.close()
      try sidecar.visit(again)
    }
  }

  @Test(.enabled(if: Loopback.hasIPv6), arguments: [false, true])
  func aFamilyThatLeadsNowhereCostsAMoment(isSilent: Bool) throws {
    let target = try Target()
    let other = try isSilent ? Target(on: .ipv6, port: target.port) : nil
    try other?.goSilent()
    let names = try ScriptedNameServer { .reply($0.addresses("::1", "127.0.0.1")) }
    try withSidecar(to: target, asking: names, ["WORKERS": "1"]) { sidecar in
      let took = try timing { try sidecar.visit(target) }
      #expect(took < (isSilent ? .seconds(1) : .milliseconds(240)))
      let next = try timing { for _ in 0..<8 { try sidecar.visit(target) } }
      #expect(next < .milliseconds(240))
    }
  }

  @Test func theRaceStaysWithinTheConnectTimeout() throws {
    let pair = try Pair()
    let third = try Target(on: .thirdIPv4, port: pair.first.port)
    for target in [pair.first, pair.second, third] { try target.goSilent() }
    let names = try ScriptedNameServer {
      .reply($0.addresses("127.0.0.1", "127.0.0.2", "127.0.0.3"))
    }
    try withSidecar(to: pair.first, asking: names, ["CONNECT_TIMEOUT": "1s"]) { sidecar in
      let took = try timing { try sidecar.connect().expect(.reset) }
      #expect(took >= .milliseconds(950) && took < .milliseconds(1500))
      #expect(try sidecar.waitForLine("connection failed: ")["cause"] == "timed_out")
    }
  }

  /// With little time each address still gets its share of it.
  @Test func inAHurryTheLastAddressIsStillTried() throws {
    let pair = try Pair()
    try pair.first.goSilent()
    try pair.second.goSilent()
    let third = try Target(on: .thirdIPv4, port: pair.first.port)
    let names = try ScriptedNameServer {
      .reply($0.addresses("127.0.0.1", "127.0.0.2", "127.0.0.3"))
    }
    try withSidecar(to: third, asking: names, ["CONNECT_TIMEOUT": "400ms", "WORKERS": "1"]) {
      try $0.visit(third)
    }
  }

  /// Six are more than are tried at once: those that are called off to make room have failed, too.
  @Test func ofManySilentAddressesNoneIsTriedFirstAgain() throws {
    let shared = { (socket: TCPSocket) in try socket.set(SO_REUSEPORT, Int32(1)) }
    let silence = try Target(on: .everywhere, prepare: shared)
    try silence.goSilent()
    let target = try Target(on: .otherIPv4, port: silence.port, prepare: shared)
    let names = try ScriptedNameServer { question in
      .reply(question.addresses((11...15).map { "127.0.0.\($0)" } + ["127.0.0.2"]))
    }
    try withSidecar(to: target, asking: names, ["WORKERS": "1"]) { sidecar in
      let took = try timing { try sidecar.visit(target) }
      #expect(took >= .milliseconds(1200) && took < .seconds(4))
      let next = try timing { for _ in 0..<8 { try sidecar.visit(target) } }
      #expect(next < .milliseconds(240))
    }
  }

  // MARK: The sidecar's own address

  @Test func aNameThatLeadsBackToTheSidecarIsRefused() throws {
    let port = try ReservedPort()
    let names = try ScriptedNameServer { .reply($0.addresses("127.0.0.1", "127.0.0.2")) }
    let settings = [
      "TARGET_HOST": targetName, "TARGET_PORT": String(port.number),
      "LISTEN_PORT": String(port.number),
    ]
    try withSidecar(asking: names, settings) { sidecar in
      try sidecar.connect().expect(.reset)
      let line = try sidecar.waitForLine("connection failed: ")
      #expect(line["cause"] == "loop")
      #expect(sidecar.count(of: "connection opened") == 0)
    }
  }

  /// An entry for the application in the same hosts file or zone, beside the real one.
  @Test func whatIsNotTheSidecarIsReachedBesideIt() throws {
    let target = try Target(on: .otherIPv4)
    let names = try ScriptedNameServer(script: Pair.answer)
    let settings = ["LISTEN_HOST": "127.0.0.1", "LISTEN_PORT": String(target.port)]
    try withSidecar(to: target, asking: names, settings) { sidecar in
      for _ in 0..<4 { try sidecar.visit(target) }
    }
  }
}

@Suite(.aside)
struct FailoverOfANameTests {
  /// The name leads to the first of two targets, which `fails`, and is used; then it moves to the
  /// second. Without that the next client would fail.
  private func withFailover(
    _ fails: (Target) throws -> Void, movesAfter delay: Duration = .zero,
    _ body: (Sidecar, Target) throws -> Void
  ) throws {
    let pair = try Pair()
    let names = try ScriptedNameServer { .reply($0.addresses("127.0.0.1")) }
    try withSidecar(to: pair.first, asking: names) { sidecar in
      try sidecar.visit(pair.first)
      pause(.milliseconds(1100))  // a younger answer is not asked for again
      try fails(pair.first)
      let moving = Background("the name moves") {
        pause(delay)
        names.change { .reply($0.addresses("127.0.0.2")) }
      }
      if delay == .zero { try moving.result() }
      try body(sidecar, pair.second)
      try moving.result()
      #expect(sidecar.count(of: "connection failed") == 0)
    }
  }

  @Test func aRefusedClientGoesOnToWhereTheNameLeadsByNow() throws {
    try withFailover({ $0.close() }) { sidecar, new in
      let took = try timing { try sidecar.visit(new) }
      #expect(took < .milliseconds(500))
      let line = try sidecar.waitForLine("addresses changed")
      #expect(line.level == "info")
      #expect(line["name"] == "db.test")
      #expect(line["addresses"] == "127.0.0.2")
      #expect(line["before"] == "127.0.0.1")
      // The others do so without a detour.
      let next = try timing { for _ in 0..<10 { try sidecar.visit(new) } }
      #expect(next < .milliseconds(500))
    }
  }

  @Test func aClientThatGetsNoAnswerGoesOnToo() throws {
    try withFailover({ try $0.goSilent() }) { sidecar, new in
      let took = try timing { try sidecar.visit(new) }
      #expect(took < .seconds(2))
    }
  }

  /// The name moves while the client waits: it is asked for again and again.
  @Test func aNameThatMovesWhileAClientWaitsIsFollowed() throws {
    try withFailover({ try $0.goSilent() }, movesAfter: .milliseconds(1500)) { sidecar, new in
      let took = try timing { try sidecar.visit(new) }
      #expect(took >= .milliseconds(1200) && took < .milliseconds(4500))
    }
  }

  /// However many fail: for all of them together there is a lookup a second.
  @Test func clientsThatAreRefusedDoNotFloodTheNameServer() throws {
    let nobody = try ReservedPort()
    let names = try ScriptedNameServer { .reply($0.addresses("127.0.0.1")) }
    let settings = ["TARGET_HOST": targetName, "TARGET_PORT": String(nobody.number)]
    try withSidecar(asking: names, settings) { sidecar in
      let start = ContinuousClock.now
      for _ in 0..<4 {
        let clients = try (0..<50).map { _ in try sidecar.connect() }
        for client in clients { try client.expect(.reset) }
      }
      let seconds = (ContinuousClock.now - start) / .seconds(1)
      #expect(names.questions.count <= 2 * (Int(seconds) + 1))
      #expect(try sidecar.waitForLine("connection failed: ")["cause"] == "refused")
    }
  }
}
