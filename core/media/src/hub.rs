//! Shares samples out to outputs so that a slow one never holds back another. (in work)
