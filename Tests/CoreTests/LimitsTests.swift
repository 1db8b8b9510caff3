import Testing

@testable import Core

@Suite struct LimitsTests {
  private func limits(
    _ descriptors: Int, cpus: Int = 2, quota: Int = 16_384,
    _ change: (inout Settings) -> Void = { _ in }
  ) -> Limits {
    var settings = Settings()
    change(&settings)
    return Limits(
      settings: settings, descriptors: descriptors, cpus: cpus, pipeQuotaPages: quota)
  }

  @Test(arguments: [3, 64, 256, 1024, 4096, 20_000, 65_535, 1_048_576], [1, 4, 32, 128])
  func everythingTogetherFitsTheDescriptorLimit(descriptors: Int, cpus: Int) {
    let limits = limits(descriptors, cpus: cpus)
    #expect(limits.connections >= 1)
    #expect(limits.pipes.count >= 1)
    guard descriptors >= 1024 else { return }
    let used = 2 * limits.connections + 2 * limits.pipes.count * limits.workers
    #expect(used + 32 + 2 * limits.workers <= descriptors)
  }

  @Test(arguments: [256, 1024, 4096, 16_384, 100_000], [1, 2, 16])
  func pipesStayWithinHalfOfTheQuota(quota: Int, workers: Int) {
    let pipes = limits(65_535, quota: quota) { $0.workers = workers }.pipes
    // One small pipe is always tried.
    let pages = (pipes.large * 256 + pipes.small * 64) * workers
    #expect(pages <= quota / 2 || pipes.large == 0 && pipes.small == 1)
  }

  @Test(arguments: [(1, 1), (2, 1), (3, 2), (4, 2), (7, 4), (64, 32), (128, 64), (1024, 64)])
  func whomItServesNeedsCPUsToo(cpus: Int, workers: Int) {
    #expect(limits(65_535, cpus: cpus).workers == workers)
  }

  @Test func theUsualQuotaHasLargeAndSmallPipes() {
    let pipes = limits(65_535) { $0.workers = 2 }.pipes
    #expect(pipes.large == 4 && pipes.small == 48)
  }

  @Test func aSmallQuotaHasSmallPipesAlone() {
    let pipes = limits(65_535, quota: 1024) { $0.workers = 2 }.pipes
    #expect(pipes.large == 0 && pipes.small == 4)
  }

  @Test func noQuotaIsNotNoPipes() {
    #expect(limits(65_535, quota: 0).pipes.count == PipeShare.atMost)
  }

  @Test func whatIsAskedForHoldsUnlessTheDescriptorsDoNot() {
    let some = limits(1024) { $0.maxConnections = 10 }
    #expect(some.connections == 10)
    #expect(some.loweredFrom == nil)
    let many = limits(1024) { $0.maxConnections = 10_000 }
    #expect(many.connections < 512)
    #expect(many.loweredFrom == 10_000)
    #expect(limits(1024) { $0.workers = 7 }.workers == 7)
  }
}

@Suite struct PeerWatchTests {
  private func judge(
    closed: Bool, probes: Int = 0, silentFor seconds: Int64 = 0, lifted: Bool = false
  ) -> PeerVerdict {
    judgePeer(
      isWindowClosed: closed, probesUnanswered: probes, sinceAcknowledgement: .seconds(seconds),
      isLifted: lifted, peerTimeout: .seconds(30))
  }

  @Test func aPeerThatOnlyDoesNotReadIsLeftAlone() {
    #expect(judge(closed: true) == .liftUserTimeout)
    #expect(judge(closed: true, probes: 1, silentFor: 119, lifted: true) == .nothing)
    #expect(judge(closed: true, probes: 9, silentFor: 29, lifted: true) == .nothing)
  }

  @Test func aPeerThatAnswersNoProbeHasVanished() {
    #expect(judge(closed: true, probes: 2, silentFor: 31, lifted: true) == .vanished)
  }

  @Test func withAnOpenWindowTheKernelWatches() {
    #expect(judge(closed: false) == .nothing)
    #expect(judge(closed: false, probes: 9, silentFor: 99) == .nothing)
    #expect(judge(closed: false, lifted: true) == .restoreUserTimeout)
  }

  /// Bytes sent just before the first probe start the user timeout a third late.
  @Test(arguments: [1, 2, 3, 10, 30, 60, 3600] as [Int64])
  func aVanishedPeerIsNoticedWithinThePeerTimeout(seconds: Int64) {
    let times = PeerTimes(peerTimeout: .seconds(seconds))
    #expect(times.keepaliveIdleSeconds >= 1 && times.keepaliveIntervalSeconds >= 1)
    #expect(times.checkInterval.wholeMilliseconds < Int64(times.userTimeoutMilliseconds))
    guard seconds >= 3 else { return }
    let worst = Int64(times.keepaliveIdleSeconds) * 1000 + Int64(times.userTimeoutMilliseconds)
    #expect(worst <= seconds * 1000)
  }
}
