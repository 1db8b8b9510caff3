// `sidecar health` in every phase of a daemon's life: silent and 0, or one line and 1; and the
// target never hears of it.
import Foundation
import Testing

/// Asks and expects a silent yes.
private func expectHealthy(
  _ sidecar: Sidecar, wrapper: [String] = [], at location: SourceLocation = #_sourceLocation
) throws {
  let answer = try sidecar.ask("health", wrapper: wrapper)
  #expect(answer.ended == .exit(0), sourceLocation: location)
  #expect(answer.lines == [] && answer.errors == [], sourceLocation: location)
}

/// Expects a no, and why in one line.
private func expectUnhealthy(
  _ answer: Answer, _ why: String, at location: SourceLocation = #_sourceLocation
) throws {
  #expect(answer.ended == .exit(1), sourceLocation: location)
  let line = try answer.line()
  #expect(line.contains(why), sourceLocation: location)
}

@Suite(.serialized, .timeLimit(.minutes(6)))
struct HealthTests {
  @Test func aServingDaemonIsHealthyAndTheTargetHearsNothing() throws {
    let target = try Target()
    try withSidecar(to: target) { sidecar in
      let answers = try (0..<20).map { _ in
        let answer = try sidecar.ask("health")
        #expect(answer.ended == .exit(0) && answer.lines == [] && answer.errors == [])
        return answer
      }
      let times = answers.map { $0.took }
      figure("health, median", times.median.inMilliseconds, "ms")
      figure("health, fastest", times.min()!.inMilliseconds, "ms", goal: "<= 5")
      #expect(times.min()! <= .milliseconds(5))
      #expect(!target.isBeingCalled)
    }
  }

  @Test func anAddressToListenOnChangesNothing() throws {
    let target = try Target()
    try withSidecar(to: target, ["LISTEN_HOST": "127.0.0.1"]) { try expectHealthy($0) }
  }

  @Test func theFirstOfSeveralForwardsIsAsked() throws {
    let traffic = try KnownTraffic()
    try withSidecar(traffic.settings) { try expectHealthy($0) }
  }

  @Test func aSleepingDaemonIsHealthy() throws {
    try withSidecar(["MODE": "sleep"]) { try expectHealthy($0) }
  }

  @Test func aDrainingDaemonIsHealthy() throws {
    let target = try Target()
    try withSidecar(to: target, ["DRAIN_TIMEOUT": "50s"]) { sidecar in
      let (client, upstream) = try sidecar.connectAndTalk(to: target)
      sidecar.process.send(SIGTERM)
      try sidecar.waitForLine("draining")
      try expectHealthy(sidecar)
      #expect(try sidecar.status().text("state") == "draining")
      client.close()
      upstream.close()
      try sidecar.expectExit(0)
    }
  }

  @Test func aDaemonAtItsLimitOfConnectionsIsHealthy() throws {
    let target = try Target()
    try withSidecar(to: target, ["MAX_CONNECTIONS": "1"]) { sidecar in
      let pair = try sidecar.connectAndTalk(to: target)
      let waiting = try (0..<10).map { _ in try sidecar.connect() }
      try expectHealthy(sidecar)
      let status = try sidecar.status()
      #expect(status["connections_limit"] == 1)
      try pingPong(pair.client, pair.upstream)
      for client in waiting { client.close() }
    }
  }

  /// Health checks come one after the other, each of them when no descriptor is left.
  @Test func aDaemonWithoutAFreeDescriptorIsHealthy() throws {
    let target = try Target()
    try withSidecar(to: target) { sidecar in
      let pair = try sidecar.connectAndTalk(to: target)
      let before = try sidecar.process.openDescriptors().values.reduce(0, +)
      try sidecar.process.allowDescriptors(0)
      let waiting = try (0..<5).map { _ in try sidecar.connect() }
      for _ in 0..<5 { try expectHealthy(sidecar) }
      let status = try sidecar.status()
      #expect(status["descriptors_open"]! >= before)
      #expect(try sidecar.ask("status").text.contains("\nconnections "))
      for client in waiting { client.close() }
      try pingPong(pair.client, pair.upstream)
      try sidecar.process.allowManyDescriptors()
    }
  }

  @Test func aStoppedDaemonIsToldWithinThreeSeconds() throws {
    let target = try Target()
    try withSidecar(to: target) { sidecar in
      try sidecar.process.suspend()
      let answer = try sidecar.ask("health")
      try expectUnhealthy(answer, "does not answer")
      #expect(answer.took < .seconds(3))
      // Those who asked in vain fill the queue; the next is told at once.
      let askers = (0..<20).map { _ in Background("asker") { try sidecar.ask("health") } }
      for asker in askers { try expectUnhealthy(try asker.result(), "does not answer") }
      sidecar.process.resume()
      try eventually("it answers again") { try sidecar.ask("health").ended == .exit(0) }
    }
  }

  @Test func withoutADaemonTheAnswerIsNo() throws {
    let port = try ReservedPort()
    let settings = [
      "TARGET_HOST": "127.0.0.1", "TARGET_PORT": "9", "LISTEN_PORT": String(port.number),
    ]
    for words in [["health"], ["health", "--target"], ["status"], ["status", "--json"]] {
      let answer = try runSidecar(words, settings)
      try expectUnhealthy(answer, "no sidecar runs here that listens on port \(port.number)")
    }
  }

  @Test func aWrongConfigurationIsOneLine() throws {
    let answer = try runSidecar(["health"], ["TARGET_PORT": "0", "LOG_LEVEL": "loud"])
    try expectUnhealthy(answer, "the configuration is wrong: TARGET_HOST")
  }

  /// As on a host whose predecessor still drains: forwarding goes on, and the name is taken over.
  @Test func aTakenNameKeepsNothingFromForwarding() throws {
    let target = try Target()
    let sleeping = try Sidecar(["MODE": "sleep"])
    defer { sleeping.process.kill() }
    try sleeping.waitUntilStarted()
    let sidecar = try Sidecar([
      "TARGET_HOST": "127.0.0.1", "TARGET_PORT": String(target.port),
      "LISTEN_PORT": String(sleeping.port),
    ])
    defer { sidecar.process.kill() }
    let line = try sidecar.waitForLine("control socket unavailable")
    #expect(line.level == "warn" && line["errno"] == "98")
    #expect(line["name"] == "sidecar-\(sleeping.port)")
    try sidecar.waitUntilStarted()
    let (client, upstream) = try sidecar.connectAndTalk(to: target)
    #expect(try sidecar.status().text("state") == "asleep", "the other one answers")
    try sleeping.stop()
    try eventually("the name is taken over") { try sidecar.ask("health").ended == .exit(0) }
    #expect(try sidecar.status().text("state") == "serving")
    #expect(sidecar.count(of: "control socket unavailable") == 1)
    client.close()
    upstream.close()
    try sidecar.stop()
  }

  /// Nine that hold the socket without a question do not keep others out.
  @Test func clientsThatSayNothingKeepNobodyOut() throws {
    try withSidecar(["MODE": "sleep"]) { sidecar in
      let silent = try (0..<9).map { _ in try LocalClient(name: "sidecar-\(sidecar.port)") }
      try expectHealthy(sidecar)
      for client in silent { client.close() }
    }
  }

  @Test(arguments: ["stop\n", "health", String(repeating: "x", count: 100_000)])
  func anythingElseThanAQuestionIsRefused(text: String) throws {
    try withSidecar(["MODE": "sleep"]) { sidecar in
      let client = try LocalClient(name: "sidecar-\(sidecar.port)")
      client.send(text)
      let answer = client.receiveAll()
      #expect(answer == "unknown request\n" || text.count > 1_000)
      client.close()
      try expectHealthy(sidecar)
    }
  }
}

@Suite(.serialized, .enabled(if: getuid() == 0, "setpriv(1) needs root"))
struct OtherUsersTests {
  private func user(_ id: Int) -> [String] {
    ["/usr/bin/setpriv", "--reuid=\(id)", "--regid=\(id)", "--clear-groups"]
  }

  @Test func onlyItsOwnUserAndRootMayAsk() throws {
    let target = try Target()
    try withSidecar(to: target, wrapper: user(1_000)) { sidecar in
      try expectHealthy(sidecar)
      try expectHealthy(sidecar, wrapper: user(1_000))
      for words in [["health"], ["status"]] {
        let answer = try runSidecar(words, sidecar.settings, wrapper: user(1_001))
        try expectUnhealthy(answer, "another user's process answers for port \(sidecar.port)")
      }
    }
  }

  @Test func rootsDaemonAnswersRootAlone() throws {
    let target = try Target()
    try withSidecar(to: target) { sidecar in
      let answer = try sidecar.ask("health", wrapper: user(1_001))
      try expectUnhealthy(answer, "it is another user's")
      try expectHealthy(sidecar)
    }
  }
}

@Suite(.serialized, .timeLimit(.minutes(6)))
struct TargetHealthTests {
  @Test func theLastConnectionDecides() throws {
    let target = try Target()
    try withSidecar(to: target) { sidecar in
      let (client, upstream) = try sidecar.connectAndTalk(to: target)
      let answer = try sidecar.ask("health", "--target")
      #expect(answer.ended == .exit(0) && answer.lines == [] && answer.errors == [])
      #expect(!target.isBeingCalled, "real traffic tells enough")
      client.close()
      upstream.close()
      target.close()
      try sidecar.connect().expect(.reset)
      let after = try sidecar.ask("health", "--target")
      try expectUnhealthy(after, "target 127.0.0.1:\(target.port) not reached ")
      #expect(try after.line().contains(" ago: refused: the target refused the connection"))
      try expectHealthy(sidecar)
    }
  }

  @Test func whatNobodyKnowsIsTriedOnce() throws {
    let target = try Target()
    try withSidecar(to: target) { sidecar in
      #expect(try sidecar.ask("health", "--target").ended == .exit(0))
      try target.accept().expect(.closed)
      #expect(!target.isBeingCalled, "one connection, not more")
    }
  }

  @Test func anAttemptThatFailsIsOneLine() throws {
    let nobody = try ReservedPort()
    let settings = ["TARGET_HOST": "127.0.0.1", "TARGET_PORT": String(nobody.number)]
    try withSidecar(settings) { sidecar in
      let answer = try sidecar.ask("health", "--target")
      try expectUnhealthy(answer, "target 127.0.0.1:\(nobody.number) not reached: refused: ")
    }
  }

  @Test func asleepWithoutATargetThereIsNothingToReach() throws {
    try withSidecar(["MODE": "sleep"]) { sidecar in
      let answer = try sidecar.ask("health", "--target")
      #expect(answer.ended == .exit(0) && answer.lines == [])
    }
  }
}

/// A client of a local socket that speaks as it likes.
final class LocalClient {
  private var number: Int32

  init(name: String) throws {
    number = Int32(
      try checked("socket", socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)))
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    withUnsafeMutableBytes(of: &address.sun_path) { path in
      path.copyBytes(from: [0] + Array(name.utf8))
    }
    let length = socklen_t(MemoryLayout<sa_family_t>.size + 1 + name.utf8.count)
    let result = withUnsafeBytes(of: &address) {
      connect(number, $0.baseAddress!.assumingMemoryBound(to: sockaddr.self), length)
    }
    try checked("connect", result)
    var limit = timeval(tv_sec: Int(patience.components.seconds), tv_usec: 0)
    setsockopt(
      number, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
  }

  deinit { close() }

  /// What the other end does not want is lost.
  func send(_ text: String) {
    let bytes = Array(text.utf8)
    _ = Glibc.send(number, bytes, bytes.count, Int32(MSG_NOSIGNAL))
  }

  func receiveAll() -> String {
    var bytes: [UInt8] = []
    var piece = [UInt8](repeating: 0, count: 4_096)
    while true {
      let count = recv(number, &piece, piece.count, 0)
      guard count > 0 else { return String(decoding: bytes, as: UTF8.self) }
      bytes += piece[..<count]
    }
  }

  func close() {
    if number >= 0 { Glibc.close(number) }
    number = -1
  }
}
